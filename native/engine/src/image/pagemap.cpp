// SPDX-License-Identifier: Apache-2.0
#include "image/pagemap.hpp"

#include "wire/frames.hpp"
#include <algorithm>
#include <cstring>

namespace pclive::image {
namespace {

constexpr uint32_t kImageMagic = 0x54564319;
constexpr uint32_t kPagemapMagic = 0x56084025;
constexpr uint64_t kMaxEntryPages = 0x7fffffff; // the older field is 32 bits wide

// Fields of the two messages.
enum : uint32_t { kPagesId = 1, kVaddr = 1, kNrPagesOld = 2, kInParentField = 3, kFlags = 4, kNrPages = 5 };

/// Told with the file's name by decodePagemap().
struct Malformed {};

void putWord(std::string &out, uint32_t word) {
    out.append(reinterpret_cast<const char *>(&word), sizeof word);
}

void putVarint(std::string &out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

void putField(std::string &out, uint32_t field, uint64_t value) {
    putVarint(out, field << 3); // wire type 0
    putVarint(out, value);
}

void putMessage(std::string &out, const std::string &message) {
    putWord(out, static_cast<uint32_t>(message.size()));
    out += message;
}

class Reader {
  public:
    Reader(const char *data, size_t size) : at_(data), end_(data + size) {}
    [[nodiscard]] bool done() const { return at_ == end_; }
    uint32_t word() {
        uint32_t value;
        std::memcpy(&value, bytes(sizeof value), sizeof value);
        return value;
    }
    Reader message() {
        uint32_t size = word();
        return Reader(bytes(size), size);
    }
    uint64_t varint() {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            auto byte = static_cast<uint8_t>(*bytes(1));
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (!(byte & 0x80))
                return value;
        }
        throw Malformed{};
    }

  private:
    const char *bytes(size_t size) {
        if (size > static_cast<size_t>(end_ - at_))
            throw Malformed{};
        const char *here = at_;
        at_ += size;
        return here;
    }
    const char *at_, *end_;
};

/// Calls visit(field, value) for each field; all fields of these messages are varints.
template <class Visit> void forEachField(Reader message, Visit visit) {
    while (!message.done()) {
        uint64_t key = message.varint();
        if (key & 7)
            throw Malformed{};
        visit(static_cast<uint32_t>(key >> 3), message.varint());
    }
}

PagemapEntry decodeEntry(Reader message) {
    PagemapEntry entry{0, 0, 0};
    bool inParent = false, hasFlags = false, hasPages = false;
    forEachField(message, [&](uint32_t field, uint64_t value) {
        if (field == kVaddr)
            entry.start = value;
        else if (field == kNrPages || (field == kNrPagesOld && !hasPages))
            entry.pages = value;
        else if (field == kInParentField)
            inParent = value != 0;
        else if (field == kFlags)
            entry.flags = static_cast<uint32_t>(value);
        hasFlags = hasFlags || field == kFlags;
        hasPages = hasPages || field == kNrPages;
    });
    if (inParent)
        entry.flags |= kInParent;
    else if (!hasFlags)
        entry.flags = kPresent;
    if (entry.pages > wire::kMaxAddress / wire::kPageSize || entry.start > wire::kMaxAddress ||
        entry.start % wire::kPageSize)
        throw Malformed{};
    return entry;
}

} // namespace

std::string encodePagemap(const Pagemap &pagemap) {
    std::string out, message;
    putWord(out, kImageMagic);
    putWord(out, kPagemapMagic);
    putField(message, kPagesId, pagemap.pagesId);
    putMessage(out, message);
    for (PagemapEntry entry : pagemap.entries)
        while (entry.pages) {
            uint64_t pages = std::min(entry.pages, kMaxEntryPages);
            message.clear();
            putField(message, kVaddr, entry.start);
            putField(message, kNrPagesOld, pages);
            if (entry.flags & kInParent)
                putField(message, kInParentField, 1);
            putField(message, kFlags, entry.flags);
            putField(message, kNrPages, pages);
            putMessage(out, message);
            entry.start += pages * wire::kPageSize;
            entry.pages -= pages;
        }
    return out;
}

Pagemap decodePagemap(const std::string &bytes, const std::string &name) try {
    Reader reader(bytes.data(), bytes.size());
    if (reader.word() != kImageMagic || reader.word() != kPagemapMagic)
        throw Malformed{};
    Pagemap pagemap;
    forEachField(reader.message(), [&](uint32_t field, uint64_t value) {
        if (field == kPagesId)
            pagemap.pagesId = static_cast<uint32_t>(value);
    });
    while (!reader.done())
        pagemap.entries.push_back(decodeEntry(reader.message()));
    return pagemap;
} catch (const Malformed &) {
    throw Error("images", name + " is no pagemap image, or a damaged one");
}

} // namespace pclive::image
