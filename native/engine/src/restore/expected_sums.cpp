// SPDX-License-Identifier: Apache-2.0
#include "restore/expected_sums.hpp"

#include "restore/messages.hpp"
#include "wire/crc32c.hpp"
#include <nlohmann/json.hpp>

namespace pclive::restore {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxSumsBytes = 64u << 20;
constexpr uint64_t kVersion = 1;
constexpr uint64_t kMinChunk = 4096, kMaxChunk = 64u << 20;

/// Takes the document apart; whatever is not as it should be is one error.
class Reader {
  public:
    explicit Reader(std::string path) : path_(std::move(path)) {}

    Sums read(const json &document) const {
        if (!document.is_object())
            bad();
        if (number(document, "version") != kVersion)
            throw unsupported(path_, "it is of a newer PCLive");
        Sums sums;
        for (const auto &[name, entry] : object(document, "files").items())
            sums.files[checked(name)] = {number(entry, "bytes"), sum(field(entry, "crc32c"))};
        for (const auto &[name, entry] : object(document, "pages").items())
            sums.pages[checked(name)] = pages(entry);
        return sums;
    }

    [[noreturn]] void bad() const { throw damaged(path_, "it is no list of check sums"); }

  private:
    [[nodiscard]] const json &field(const json &from, const char *name) const {
        auto found = from.is_object() ? from.find(name) : from.end();
        if (!from.is_object() || found == from.end())
            bad();
        return *found;
    }
    [[nodiscard]] const json &object(const json &from, const char *name) const {
        const json &value = field(from, name);
        if (!value.is_object())
            bad();
        return value;
    }
    [[nodiscard]] uint64_t number(const json &from, const char *name) const {
        const json &value = field(from, name);
        if (!value.is_number_unsigned())
            bad();
        return value.get<uint64_t>();
    }
    [[nodiscard]] uint32_t sum(const json &value) const {
        if (!value.is_string())
            bad();
        const auto &text = value.get_ref<const std::string &>();
        if (text.empty() || text.size() > 8 ||
            text.find_first_not_of("0123456789abcdef") != std::string::npos)
            bad();
        return static_cast<uint32_t>(std::stoul(text, nullptr, 16));
    }
    [[nodiscard]] const std::string &checked(const std::string &name) const {
        if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
            bad();
        return name;
    }
    [[nodiscard]] PagesSums pages(const json &entry) const {
        PagesSums result{number(entry, "bytes"), number(entry, "chunk"), {}};
        const json &list = field(entry, "crc32c");
        if (!list.is_array() || result.chunk < kMinChunk || result.chunk > kMaxChunk ||
            list.size() != result.bytes / result.chunk + (result.bytes % result.chunk != 0))
            bad();
        for (const auto &value : list)
            result.crc32c.push_back(sum(value));
        return result;
    }

    std::string path_;
};

void checkSize(const std::string &path, uint64_t size, uint64_t wanted) {
    if (size != wanted)
        throw damaged(path, "it has " + std::to_string(size) + " bytes, and had " + std::to_string(wanted) +
                                " when it was written");
}

} // namespace

Error wrongSum(const std::string &path) {
    return damaged(path, "its contents are not those that were written");
}

std::optional<Sums> readSums(const ImageDirectory &directory) {
    if (!directory.has(kSumsName))
        return std::nullopt;
    Reader reader(directory.pathOf(kSumsName));
    if (directory.sizeOf(kSumsName) > kMaxSumsBytes)
        reader.bad();
    json document = json::parse(directory.readWhole(kSumsName), nullptr, false);
    return reader.read(document);
}

void checkFiles(const ImageDirectory &directory, const Sums &sums) {
    for (const auto &[name, sum] : sums.files) {
        std::string bytes = directory.readWhole(name);
        checkSize(directory.pathOf(name), bytes.size(), sum.bytes);
        if (wire::crc32c(0, bytes.data(), bytes.size()) != sum.crc32c)
            throw wrongSum(directory.pathOf(name));
    }
    for (const auto &[name, pages] : sums.pages)
        checkSize(directory.pathOf(name), directory.sizeOf(name), pages.bytes);
}

} // namespace pclive::restore
