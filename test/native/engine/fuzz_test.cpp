// SPDX-License-Identifier: Apache-2.0
// Fuzzing what reads data from a peer: frames with any content, in any order, to the decoders, the ledger and
// the reader of pagemap images. With clang: -fsanitize=fuzzer -DPCLIVE_LIBFUZZER. Otherwise main() feeds it
// mutations of well-formed streams.
#include "dest/ledger.hpp"
#include "image/pagemap.hpp"
#include "wire/pool.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>

using namespace pclive;
using namespace pclive::wire;

namespace {

/// Holds the ledger to its word: what it asks for is always possible.
class CheckingStore final : public dest::Store {
  public:
    Rest write(dest::Process &process, const PageList &pages) override {
        size_t sum = 0;
        for (size_t i = 0; i < pages.pages * kPageSize; i += 512) // the sanitizer watches the bounds
            sum += pages.data[i];
        sum_ = sum;
        for (const auto &run : pages.runs)
            must(process.areaOf({run.start, run.start + run.pages * kPageSize}) != nullptr);
        return {};
    }
    void drop(dest::Process &process, std::span<const dest::Range> ranges) override {
        for (const auto &range : ranges)
            must(range.start < range.end && process.pages.anyIn(range));
    }
    void roundEnded(std::span<dest::Process *const> processes, uint32_t) override {
        for (auto *process : processes)
            process->pages.forEach([&](dest::Range run) {
                for (uint64_t at = run.start; at < run.end; at += kPageSize)
                    must(process->areaOf({at, at + kPageSize}) != nullptr);
            });
    }

  private:
    static void must(bool good) {
        if (!good)
            abort();
    }
    volatile size_t sum_ = 0;
};

Frame makeFrame(const std::shared_ptr<BufferPool> &pool, uint8_t type, uint8_t flags, const uint8_t *data,
                size_t size) {
    Frame frame;
    frame.type = static_cast<FrameType>(type);
    frame.flags = flags;
    frame.payload = pool->take(size);
    if (size)
        memcpy(frame.payload.data(), data, size);
    return frame;
}

void decodeAlone(const Frame &frame) {
    if (frame.type == FrameType::file)
        decodeFile(frame);
    else if (frame.type == FrameType::error)
        decodeError(frame);
    else
        decodeText(frame);
}

} // namespace

/// The input is a stream of {type, flags, u16 size, size bytes}; a leading 'P' makes it a pagemap image
/// instead.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static auto pool = std::make_shared<BufferPool>(kMaxPayload, 4);
    if (size && data[0] == 'P') {
        try {
            image::decodePagemap(std::string(reinterpret_cast<const char *>(data) + 1, size - 1), "pagemap");
        } catch (const Error &) {
        }
        return 0;
    }
    CheckingStore store;
    dest::Ledger ledger(store);
    for (size_t at = 0; at + 4 <= size;) {
        size_t length = std::min<size_t>(data[at + 2] | data[at + 3] << 8, size - at - 4);
        Frame frame = makeFrame(pool, data[at], data[at + 1], data + at + 4, length);
        at += 4 + length;
        try {
            FrameHeader header{kMagic, static_cast<uint8_t>(frame.type), frame.flags,
                               0,      static_cast<uint32_t>(length),    0,
                               0};
            checkHeader(header, 0);
            dest::Ledger::concerns(frame.type) ? ledger.take(frame) : decodeAlone(frame);
        } catch (const Error &) {
            if (dest::Ledger::concerns(frame.type))
                return 0; // a session ends with its first error
        }
    }
    return 0;
}

#ifndef PCLIVE_LIBFUZZER
namespace {

using Bytes = std::vector<uint8_t>;

template <class Part> void put(Bytes &bytes, const Part &part) {
    auto *raw = reinterpret_cast<const uint8_t *>(&part);
    bytes.insert(bytes.end(), raw, raw + sizeof part);
}

void putFrame(Bytes &stream, FrameType type, uint8_t flags, const Bytes &payload) {
    stream.insert(stream.end(), {static_cast<uint8_t>(type), flags, static_cast<uint8_t>(payload.size()),
                                 static_cast<uint8_t>(payload.size() >> 8)});
    stream.insert(stream.end(), payload.begin(), payload.end());
}

template <class... Parts> Bytes join(const Parts &...parts) {
    Bytes bytes;
    (put(bytes, parts), ...);
    return bytes;
}

Bytes goodStream() {
    Bytes stream;
    auto frame = [&](FrameType type, const Bytes &payload, uint8_t flags = 0) {
        putFrame(stream, type, flags, payload);
    };
    frame(FrameType::process, join(ProcessFrame{7, 0}));
    frame(FrameType::layout, join(ListFrame{7, 1}, AreaEntry{0x10000, 0x20000, 0, 0}), kFlagMore);
    frame(FrameType::layout, join(ListFrame{7, 1}, AreaEntry{0x20000, 0x900000, 1, 0}));
    Bytes pages = join(PagesFrame{7, 2, 2}, RunEntry{0x1f000, 1, 0}, RunEntry{0x20000, 2, 0});
    pages.resize(pages.size() + 3 * kPageSize, 9);
    frame(FrameType::pages, pages);
    frame(FrameType::absent, join(ListFrame{7, 1}, RangeEntry{0x1f000, 0x21000}));
    frame(FrameType::roundEnd, join(RoundEndFrame{1, 0, 3}));
    frame(FrameType::file, join(FileFrame{5, 1, 0}, 'a'));
    frame(FrameType::finalBegin, {});
    frame(FrameType::layout, join(ListFrame{7, 1}, AreaEntry{0x20000, 0x22000, 0, 0}));
    frame(FrameType::present, join(ListFrame{7, 1}, RangeEntry{0x21000, 0x22000}));
    frame(FrameType::finalEnd, join(FinalEndFrame{0, 1}));
    return stream;
}

Bytes goodPagemap() {
    image::Pagemap pagemap{3, {{0x1000, 5, image::kPresent}, {0x7f0000000000, 70000, image::kInParent}}};
    std::string bytes = "P" + image::encodePagemap(pagemap);
    return Bytes(bytes.begin(), bytes.end());
}

constexpr uint64_t kInteresting[] = {
    0, 1, 7, 0xff, 0xfff, 0x1000, 0x1001, 0xffffffff, 0x7ffffffff000, 1ull << 47, ~0ull};

void mutate(Bytes &bytes, std::mt19937_64 &random) {
    for (auto times = random() % 4 + 1; times; times--) {
        size_t at = random() % bytes.size();
        switch (random() % 5) {
        case 0:
            bytes[at] ^= static_cast<uint8_t>(1u << random() % 8);
            break;
        case 1:
            bytes[at] = static_cast<uint8_t>(random());
            break;
        case 2: {
            uint64_t value = kInteresting[random() % std::size(kInteresting)];
            memcpy(&bytes[at], &value, std::min<size_t>(1u << random() % 4, bytes.size() - at));
            break;
        }
        case 3:
            bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at),
                        bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), at + random() % 64)));
            break;
        default: {
            Bytes piece(bytes.begin() + static_cast<ptrdiff_t>(at),
                        bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), at + random() % 256)));
            bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(random() % bytes.size()), piece.begin(),
                         piece.end());
        }
        }
        if (bytes.empty())
            bytes.push_back(0);
    }
}

bool pagemapRoundTrip() {
    Bytes bytes = goodPagemap();
    auto read = image::decodePagemap(std::string(bytes.begin() + 1, bytes.end()), "pagemap");
    return read.pagesId == 3 && read.entries.size() == 2 && read.entries[1].pages == 70000 &&
           read.entries[1].start == 0x7f0000000000 && read.entries[1].flags == image::kInParent &&
           read.entries[0].flags == image::kPresent;
}

} // namespace

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : std::random_device()();
    int runs = argc > 2 ? std::atoi(argv[2]) : 200000;
    std::mt19937_64 random(seed);
    std::printf("        seed %llu, %d runs\n", static_cast<unsigned long long>(seed), runs);
    std::fflush(stdout);
    if (!pagemapRoundTrip()) {
        std::printf("FAILED  a pagemap image is read as it was written\n0 passed, 1 failed\n");
        return 1;
    }
    const Bytes seeds[] = {goodStream(), goodPagemap()};
    for (const auto &good : seeds)
        LLVMFuzzerTestOneInput(good.data(), good.size());
    for (int i = 0; i < runs; i++) {
        Bytes bytes = seeds[random() % 8 == 0];
        mutate(bytes, random);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("ok      a pagemap image is read as it was written\nok      mutated streams do no harm\n2 "
                "passed, 0 failed\n");
}
#endif
