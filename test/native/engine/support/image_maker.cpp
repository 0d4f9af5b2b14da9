// SPDX-License-Identifier: Apache-2.0
#include "support/image_maker.hpp"

#include "restore/messages.hpp"
#include "testing.hpp"
#include "wire/crc32c.hpp"
#include <fstream>
#include <random>

namespace pclive::testing {
namespace {

using nlohmann::json;

void putVarint(std::string &out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

void putWord(std::string &out, uint32_t word) {
    out.append(reinterpret_cast<const char *>(&word), sizeof word);
}

std::string hex(uint32_t value) {
    char text[16];
    std::snprintf(text, sizeof text, "%08x", value);
    return text;
}

std::string sumOf(const char *data, size_t size) {
    return hex(wire::crc32c(0, data, size));
}

} // namespace

void putNumber(std::string &message, uint32_t field, uint64_t value) {
    putVarint(message, field << 3);
    putVarint(message, value);
}

void putBytes(std::string &message, uint32_t field, const std::string &bytes) {
    putVarint(message, field << 3 | 2);
    putVarint(message, bytes.size());
    message += bytes;
}

std::string imageFile(uint32_t magic, const std::vector<std::string> &messages) {
    std::string out;
    if (magic != restore::kInventoryMagic)
        putWord(out, restore::kCommonMagic);
    putWord(out, magic);
    for (const auto &message : messages) {
        putWord(out, static_cast<uint32_t>(message.size()));
        out += message;
    }
    return out;
}

void addInventory(ImageFiles &files, uint64_t version) {
    std::string message;
    putNumber(message, 1, version);
    putNumber(message, 2, 1);
    files["inventory.img"] = imageFile(restore::kInventoryMagic, {message});
}

void addTree(ImageFiles &files, const std::vector<std::pair<uint32_t, uint32_t>> &processes) {
    std::vector<std::string> messages;
    for (const auto &[pid, parent] : processes) {
        std::string message;
        const uint64_t fields[] = {pid, parent, pid, pid, pid};
        for (uint32_t i = 0; i < 5; i++)
            putNumber(message, i + 1, fields[i]);
        messages.push_back(message);
    }
    files["pstree.img"] = imageFile(restore::kPstreeMagic, messages);
}

void addCore(ImageFiles &files, uint32_t pid, uint64_t machine) {
    std::string message;
    putNumber(message, 1, machine);
    putBytes(message, 3, "not looked at");
    files["core-" + std::to_string(pid) + ".img"] = imageFile(restore::kCoreMagic, {message});
}

void addMm(ImageFiles &files, uint32_t pid, const std::vector<MadeVma> &vmas, uint32_t exe) {
    std::string message;
    putNumber(message, 12, exe);
    for (const auto &vma : vmas) {
        std::string inner;
        const uint64_t fields[] = {vma.start, vma.end, 0, 0, 3, vma.flags, vma.status, ~uint64_t(0)};
        for (uint32_t i = 0; i < 8; i++)
            putNumber(inner, i + 1, fields[i]);
        putBytes(message, 14, inner);
    }
    files["mm-" + std::to_string(pid) + ".img"] = imageFile(restore::kMmMagic, {message});
}

void addPages(ImageFiles &files, uint32_t pid, const image::Pagemap &pagemap, const std::string &pages) {
    files["pagemap-" + std::to_string(pid) + ".img"] = image::encodePagemap(pagemap);
    files["pages-" + std::to_string(pagemap.pagesId) + ".img"] = pages;
}

void addSums(ImageFiles &files, uint64_t chunk) {
    json sums{{"version", 1}, {"files", json::object()}, {"pages", json::object()}};
    for (const auto &[name, bytes] : files) {
        if (!name.starts_with("pages-")) {
            sums["files"][name] = {{"bytes", bytes.size()}, {"crc32c", sumOf(bytes.data(), bytes.size())}};
            continue;
        }
        json list = json::array();
        for (size_t at = 0; at < bytes.size(); at += chunk)
            list.push_back(sumOf(bytes.data() + at, std::min<size_t>(chunk, bytes.size() - at)));
        sums["pages"][name] = {{"bytes", bytes.size()}, {"chunk", chunk}, {"crc32c", list}};
    }
    files["pclive.json"] = sums.dump();
}

void writeImage(const std::string &directory, const ImageFiles &files) {
    for (const auto &[name, bytes] : files) {
        std::ofstream out(directory + "/" + name, std::ios::binary | std::ios::trunc);
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        out.close();
        CHECK(out.good());
    }
}

std::string noise(size_t bytes, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string out(bytes, '\0');
    for (auto &byte : out)
        byte = static_cast<char>(random());
    return out;
}

uint64_t ownMachine() {
#if defined(__x86_64__)
    return 1;
#else
    return 3;
#endif
}

} // namespace pclive::testing
