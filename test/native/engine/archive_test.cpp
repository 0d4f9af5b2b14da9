// SPDX-License-Identifier: Apache-2.0
// Images as streams: there and back, and whatever may happen to a stream on its way.
#include "archive/age.hpp"
#include "archive/tar.hpp"
#include "testing.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

using namespace pclive;
using namespace pclive::archive;
using namespace pclive::testing;

namespace {

const AgeKey kKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr const char *kHeader = "age-encryption.org/v1\n-> X\n--- x\n";

class StringSink final : public ByteSink {
  public:
    void write(const uint8_t *bytes, size_t size) override {
        text.append(reinterpret_cast<const char *>(bytes), size);
    }
    void finish() override { finished = true; }
    std::string text;
    bool finished = false;
};

/// In pieces of all sizes.
class StringSource final : public ByteSource {
  public:
    explicit StringSource(std::string text) : text_(std::move(text)) {}
    size_t read(uint8_t *to, size_t size) override {
        size_t count = std::min({size, text_.size() - at_, size_t(1 + at_ % 70'001)});
        std::memcpy(to, text_.data() + at_, count);
        at_ += count;
        return count;
    }

  private:
    std::string text_;
    size_t at_ = 0;
};

std::string noise(size_t size) {
    std::mt19937 random(static_cast<uint32_t>(size));
    std::string text(size, '\0');
    for (auto &c : text)
        c = static_cast<char>(random() & 15);
    return text;
}

struct Image {
    TempDir directory;
    Image() {
        writeText(directory.path("inventory.img"), "inventory");
        writeText(directory.path("core-1.img"), noise(3000));
        writeText(directory.path("empty.img"), "");
        writeText(directory.path("pages-1.img"), noise((9u << 20) + 4096));
        writeText(directory.path("pages-2.img"), "");
    }
};

std::string packed(const std::string &directory, bool compress = false) {
    StringSink sink;
    Progress progress;
    pack(directory, compress, false, sink, progress);
    CHECK(sink.finished);
    return sink.text;
}

std::string sealed(const std::string &plain) {
    StringSink sink;
    AgeSink age(sink, kHeader, kKey);
    age.write(reinterpret_cast<const uint8_t *>(plain.data()), plain.size());
    age.finish();
    return sink.text.substr(std::strlen(kHeader));
}

void unpackTo(const std::string &text, const std::string &directory) {
    StringSource source(text);
    Progress progress;
    unpack(source, directory, progress);
}

void openTo(const std::string &text, const std::string &directory, const AgeKey &key = kKey) {
    StringSource source(text);
    AgeSource age(source, key);
    Progress progress;
    unpack(age, directory, progress);
}

void refused(const std::function<void(const std::string &)> &body, const std::string &code = "images") {
    TempDir to;
    throwsCode(code, [&] { body(to.path()); });
}

void same(const Image &image, const TempDir &to) {
    for (const auto &entry : std::filesystem::directory_iterator(image.directory.path())) {
        auto name = entry.path().filename().string();
        CHECK(readText(entry.path()) == readText(to.path(name)));
    }
}

void thereAndBack() {
    Image image;
    for (bool compress : {false, true}) {
        TempDir to, again;
        auto text = packed(image.directory.path(), compress);
        CHECK(compress == (text.size() < (8u << 20)));
        unpackTo(text, to.path());
        same(image, to);
        // What was unpacked brings its sums along.
        unpackTo(packed(to.path()), again.path());
        CHECK(readText(to.path("pclive.json")) == readText(again.path("pclive.json")));
    }
}

void sealedThereAndBack() {
    Image image;
    TempDir to;
    openTo(sealed(packed(image.directory.path(), true)), to.path());
    same(image, to);
}

void anyTarCanRead() {
    Image image;
    TempDir to;
    writeText(to.path("a.tar"), packed(image.directory.path()));
    shell("cd " + to.path() + " && tar -xf a.tar && rm a.tar");
    same(image, to);
    // And what tar makes of it can be read, whatever its form.
    for (const char *format : {"gnu", "posix", "ustar"}) {
        TempDir other, back;
        shell("cd " + to.path() + " && tar --format=" + format + " -cf " + other.path("b.tar") +
              " pclive.json inventory.img core-1.img empty.img pages-1.img pages-2.img");
        unpackTo(readText(other.path("b.tar")), back.path());
        same(image, back);
    }
}

void sealsOfAllSizes() {
    for (size_t size : {0u, 1u, 65535u, 65536u, 65537u, 131072u, 200000u}) {
        auto plain = noise(size);
        StringSource source(sealed(plain));
        AgeSource age(source, kKey);
        std::string text(size + 10, '\0');
        text.resize(age.readFully(reinterpret_cast<uint8_t *>(text.data()), text.size()));
        CHECK(text == plain);
    }
}

void cutOff() {
    Image image;
    auto plain = packed(image.directory.path()), zstd = packed(image.directory.path(), true);
    auto age = sealed(plain);
    for (size_t share : {0u, 1u, 10u, 50u, 90u, 99u}) {
        refused([&](auto &to) { unpackTo(plain.substr(0, plain.size() * share / 100), to); });
        refused([&](auto &to) { unpackTo(zstd.substr(0, zstd.size() * share / 100), to); });
        refused([&](auto &to) { openTo(age.substr(0, age.size() * share / 100), to); });
    }
    refused([&](auto &to) { openTo(age.substr(0, age.size() - 1), to); });
    // At the border of two chunks, so that every seal is good.
    refused([&](auto &to) { openTo(age.substr(0, 16 + 20 * (65536 + 16)), to); });
    refused([&](auto &to) { openTo(age + "x", to); });
}

/// A flipped bit is found, or is where it does not matter (padding, a time).
void flipped() {
    Image image;
    auto plain = packed(image.directory.path()), zstd = packed(image.directory.path(), true);
    std::mt19937 random(7);
    size_t found = 0;
    for (int i = 0; i < 60; i++) {
        for (auto *text : {&plain, &zstd}) {
            // Half of them in the first pages, where the names and sums are.
            auto at = random() % (i % 2 ? text->size() : std::min<size_t>(text->size(), 8192));
            auto bit = static_cast<char>(1 << random() % 8);
            (*text)[at] = static_cast<char>((*text)[at] ^ bit);
            TempDir to;
            try {
                unpackTo(*text, to.path());
                same(image, to);
            } catch (const Error &error) {
                found++;
            }
            (*text)[at] = static_cast<char>((*text)[at] ^ bit);
        }
    }
    CHECK(found > 60);
}

void changedSeals() {
    Image image;
    auto age = sealed(packed(image.directory.path()));
    constexpr size_t kSealed = 65536 + 16;
    for (size_t at : {size_t(0), size_t(20), age.size() / 2, age.size() - 1}) {
        auto text = age;
        text[at] = static_cast<char>(text[at] ^ 1);
        refused([&](auto &to) { openTo(text, to); });
    }
    auto swapped = age;
    std::swap_ranges(swapped.begin() + 16, swapped.begin() + 16 + kSealed, swapped.begin() + 16 + kSealed);
    refused([&](auto &to) { openTo(swapped, to); });
    auto left = age;
    left.erase(16 + 3 * kSealed, kSealed);
    refused([&](auto &to) { openTo(left, to); });
    auto other = kKey;
    other[15] ^= 1;
    refused([&](auto &to) { openTo(age, to, other); });
}

/// An archive that tar makes of these files, changed by a command beforehand.
std::string tarOf(const Image &image, const std::string &command, const std::string &names) {
    TempDir work;
    unpackTo(packed(image.directory.path()), work.path());
    shell("cd " + work.path() + " && " + command + " && tar -P -cf a.tar " + names);
    return readText(work.path("a.tar"));
}

void wrongContents() {
    Image image;
    const std::string all = "pclive.json inventory.img core-1.img empty.img pages-1.img pages-2.img";
    auto bad = [&](const std::string &command, const std::string &names, const char *code = "images") {
        refused([&](auto &to) { unpackTo(tarOf(image, command, names), to); }, code);
    };
    bad("true", "inventory.img pclive.json core-1.img empty.img pages-1.img pages-2.img");
    bad("true", "pclive.json inventory.img core-1.img empty.img pages-1.img");
    bad("echo >more.img", all + " more.img");
    bad("true", all + " core-1.img");
    bad("ln -sf /etc/passwd core-1.img", all);
    bad("ln -f inventory.img pages-3.img", all + " pages-3.img");
    bad("mkdir d", all + " d");
    bad("echo more >>core-1.img", all);
    bad("truncate -s 4096 pages-1.img", all);
    bad("true", all + " --transform='s,^core,../core,'");
    bad("true", all + " --transform='s,^core,/tmp/core,'");
    bad("echo '{}' >pclive.json", all);
    bad("sed -i 's/\"version\":1/\"version\":2/' pclive.json", all, "unsupported");
    bad("sed -i 's/\"bytes\":9441280/\"bytes\":9441280000000000000/' pclive.json", all);
    CHECK(!std::filesystem::exists("/tmp/core-1.img"));
}

void noRoom() {
    Image image;
    TempDir to;
    shell("mount -t tmpfs -o size=4m none " + to.path());
    throwsCode("no-space", [&] { unpackTo(packed(image.directory.path()), to.path()); });
    shell("umount " + to.path());
}

void whatCannotBePacked() {
    Image image;
    StringSink sink;
    Progress progress;
    std::filesystem::create_symlink("../other", image.directory.path("parent"));
    throwsCode("images", [&] { pack(image.directory.path(), false, false, sink, progress); });
    std::filesystem::remove(image.directory.path("parent"));
    std::filesystem::remove(image.directory.path("inventory.img"));
    throwsCode("images", [&] { pack(image.directory.path(), false, false, sink, progress); });
    CHECK(sink.text.empty());
}

void headersOfAge() {
    TempDir work;
    auto head = [&](const std::string &text) {
        writeText(work.path("in"), text);
        Fd fd(::open(work.path("in").c_str(), O_RDONLY));
        FdSource source(fd.get());
        auto header = takeAgeHeader(source);
        std::string rest(100, '\0');
        rest.resize(source.readFully(reinterpret_cast<uint8_t *>(rest.data()), rest.size()));
        return header + "|" + rest;
    };
    CHECK(head("tar") == "|tar");
    CHECK(head("") == "|");
    CHECK(head(std::string(kHeader) + "rest") == std::string(kHeader) + "|rest");
    throwsCode("images", [&] { head("age-encryption.org/v1\n-> X\n"); });
    throwsCode("images", [&] { head("age-encryption.org/v1\n\x01\n--- x\n"); });
    throwsCode("images", [&] { head("age-encryption.org/v1\n" + std::string(40'000, 'x')); });
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"an image there and back", thereAndBack},
                     {"an encrypted image there and back", sealedThereAndBack},
                     {"tar reads and makes the archives", anyTarCanRead},
                     {"seals of all sizes", sealsOfAllSizes},
                     {"an archive that is cut off", cutOff},
                     {"flipped bits", flipped},
                     {"changed, moved and missing seals, another key", changedSeals},
                     {"archives with other contents", wrongContents},
                     {"no room for the image", noRoom},
                     {"what cannot be packed", whatCannotBePacked},
                     {"headers of age", headersOfAge}},
                    argc, argv);
}
