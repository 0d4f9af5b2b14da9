// SPDX-License-Identifier: Apache-2.0
#include "restore/messages.hpp"

#include <cstring>

namespace pclive::restore {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr const char *kAnother = "restore another checkpoint of the container";

} // namespace

Error damaged(const std::string &name, const std::string &what) {
    return Error("images", name + " is damaged: " + what, kAnother);
}

Error unsupported(const std::string &name, const std::string &what) {
    return Error("unsupported", name + ": " + what);
}

bool Fields::next(Field &field) {
    if (rest_.empty())
        return false;
    uint64_t key = varint();
    if (key >> 3 == 0 || key >> 32)
        throw damaged(name_, "a message has a field without a number");
    field = {static_cast<uint32_t>(key >> 3), false, 0, {}};
    switch (key & 7) {
    case kVarint:
        field.value = varint();
        return true;
    case kFixed64:
        std::memcpy(&field.value, take(8).data(), 8);
        return true;
    case kFixed32:
        std::memcpy(&field.value, take(4).data(), 4);
        return true;
    case kBytes:
        field.hasBytes = true;
        field.bytes = take(varint());
        return true;
    default:
        throw damaged(name_, "a message has a field of an unknown type");
    }
}

uint64_t Fields::varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        auto byte = static_cast<uint8_t>(take(1)[0]);
        value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    throw damaged(name_, "a number in a message has no end");
}

std::string_view Fields::take(uint64_t size) {
    if (size > rest_.size())
        throw damaged(name_, "a message is cut off");
    auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
}

MessageFile::MessageFile(const ImageDirectory &directory, const std::string &name, uint32_t magic)
    : name_(directory.pathOf(name)), bytes_(directory.readWhole(name)), rest_(bytes_) {
    // The inventory alone has kept the old form, with its own number first.
    if (magic != kInventoryMagic && word() != kCommonMagic)
        throw damaged(name_, "it does not begin as an image of CRIU");
    if (word() != magic)
        throw damaged(name_, "it is not the image that its name says");
}

uint32_t MessageFile::word() {
    if (rest_.size() < sizeof(uint32_t))
        throw damaged(name_, "it ends too early");
    uint32_t value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
}

bool MessageFile::next(std::string_view &message) {
    if (rest_.empty())
        return false;
    uint32_t size = word();
    if (size > rest_.size())
        throw damaged(name_, "a message is cut off");
    message = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
}

std::string_view MessageFile::need() {
    std::string_view message;
    if (!next(message))
        throw damaged(name_, "it ends too early");
    return message;
}

} // namespace pclive::restore
