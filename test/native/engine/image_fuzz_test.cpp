// SPDX-License-Identifier: Apache-2.0
// Fuzzing the reader of images: any file of one may hold anything. With clang: -fsanitize=fuzzer
// -DPCLIVE_LIBFUZZER (the input's first byte chooses the file). Otherwise main() feeds it mutations of a good
// image.
#include "restore/chunks.hpp"
#include "restore/plan.hpp"
#include "support/image_maker.hpp"
#include "testing.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

using namespace pclive;
using namespace pclive::testing;

namespace {

constexpr uint64_t kPage = 4096, kHeap = 0x7d0000000000;

ImageFiles goodImage() {
    ImageFiles files;
    addInventory(files);
    addTree(files, {{1, 0}, {7, 1}});
    addCore(files, 1, ownMachine());
    addCore(files, 7, ownMachine());
    addMm(files, 1, {{kHeap, kHeap + 128 * kPage, kPlainFlags, kPlainStatus}});
    addMm(files, 7,
          {{kHeap, kHeap + 200 * kPage, kPlainFlags, kPlainStatus},
           {kHeap + 300 * kPage, kHeap + 400 * kPage, kPlainFlags, kPlainStatus}});
    addPages(files, 1, {1, {{kHeap, 100, image::kPresent}}}, noise(100 * kPage, 1));
    addPages(files, 7, {2, {{kHeap, 64, image::kPresent}, {kHeap + 300 * kPage, 90, image::kPresent}}},
             noise(154 * kPage, 2));
    addSums(files, 64 * kPage);
    return files;
}

void must(bool good) {
    if (!good)
        std::abort();
}

/// Whatever is accepted must be fit to be loaded: inside of the files, and of the areas.
void checkPlan(const restore::Layers &layers, const restore::Plan &plan) {
    std::vector<pclo_area> areas;
    for (const auto &process : plan.processes)
        for (const auto &area : process.areas)
            areas.push_back({process.vpid, 0, area.start, area.end, area.start});
    auto chunks = restore::makeChunks(layers, plan, areas);
    uint64_t sum = 0;
    for (const auto &chunk : chunks.list) {
        must(chunk.end <= layers.files()[chunk.file].size && chunk.begin < chunk.end);
        for (size_t i = chunk.first; i < chunk.first + chunk.count; i++) {
            const auto &piece = chunks.pieces[i];
            must(piece.offset >= chunk.begin && piece.offset + piece.size <= chunk.end);
            must(std::any_of(areas.begin(), areas.end(), [&](const pclo_area &area) {
                return piece.remote >= area.start && piece.remote + piece.size <= area.end;
            }));
            sum += piece.size;
        }
    }
    must(sum == plan.stagedBytes);
}

void readAll(const std::string &directory) {
    try {
        restore::Layers layers(directory);
        auto processes = restore::readProcesses(layers.top());
        layers.check();
        checkPlan(layers, restore::makePlan(layers, processes));
    } catch (const Error &error) {
        must(error.code() == "images" || error.code() == "unsupported");
    }
}

/// The good image with one file changed, on disk; put right again afterwards.
void tryWith(const std::string &name, const std::string &bytes, bool summed) {
    static TempDir dir;
    static const ImageFiles good = [] {
        ImageFiles files = goodImage();
        writeImage(dir.path(), files);
        return files;
    }();
    ImageFiles changed{{name, bytes}};
    if (!summed) {
        writeImage(dir.path(), {{"pclive.json", "x"}});
        std::remove(dir.path("pclive.json").c_str());
    }
    writeImage(dir.path(), changed);
    readAll(dir.path());
    writeImage(dir.path(), {{name, good.at(name)}, {"pclive.json", good.at("pclive.json")}});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const ImageFiles good = goodImage();
    if (size == 0)
        return 0;
    auto file = std::next(good.begin(), (data[0] >> 1) % static_cast<int>(good.size()));
    tryWith(file->first, std::string(reinterpret_cast<const char *>(data) + 1, size - 1), data[0] & 1);
    return 0;
}

#ifndef PCLIVE_LIBFUZZER
namespace {

constexpr uint64_t kInteresting[] = {0,          1,    0xff, 0xfff, 0x1000, 0xffffffff, 0x7ffffffff000,
                                     1ull << 47, ~0ull};

void mutate(std::string &bytes, std::mt19937_64 &random) {
    for (auto times = random() % 4 + 1; times && !bytes.empty(); times--) {
        size_t at = random() % bytes.size();
        switch (random() % 5) {
        case 0:
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
            break;
        case 1:
            bytes.resize(at);
            break;
        case 2: {
            uint64_t value = kInteresting[random() % std::size(kInteresting)];
            std::memcpy(&bytes[at], &value, std::min<size_t>(1u << random() % 4, bytes.size() - at));
            break;
        }
        case 3:
            bytes.erase(at, random() % 16);
            break;
        default:
            bytes.insert(random() % bytes.size(), bytes.substr(at, random() % 64));
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : std::random_device()();
    int runs = argc > 2 ? std::atoi(argv[2]) : 4000;
    std::mt19937_64 random(seed);
    std::printf("        seed %llu, %d runs\n", static_cast<unsigned long long>(seed), runs);
    std::fflush(stdout);
    const ImageFiles good = goodImage();
    for (int i = 0; i < runs; i++) {
        auto file = std::next(good.begin(), static_cast<long>(random() % good.size()));
        std::string bytes = file->second;
        mutate(bytes, random);
        tryWith(file->first, bytes, random() % 4 == 0);
    }
    std::printf("ok      any image at all\n1 passed, 0 failed\n");
}
#endif
