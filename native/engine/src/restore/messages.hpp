// SPDX-License-Identifier: Apache-2.0
// Reading CRIU's images: protobuf messages behind a magic number. What is read may be damaged or made up:
// nothing is believed, and every length is held against what is there.
#pragma once

#include "control/error.hpp"
#include "restore/image_directory.hpp"
#include <cstdint>
#include <string_view>
#include <vector>

namespace pclive::restore {

/// Error "images": `name` is damaged; `what` says how.
Error damaged(const std::string &name, const std::string &what);
/// Error "unsupported": an image that is well-formed for all we know, but not for this reader.
Error unsupported(const std::string &name, const std::string &what);

/// One field of a message: `number` with a value (varint, fixed) or with bytes (strings, inner messages).
struct Field {
    uint32_t number;
    bool hasBytes;
    uint64_t value;
    std::string_view bytes;
};

/// Walks over the fields of one message.
class Fields {
  public:
    Fields(std::string_view message, const std::string &name) : rest_(message), name_(name) {}
    /// False at the end. Error "images" when it is malformed.
    bool next(Field &field);

  private:
    uint64_t varint();
    std::string_view take(uint64_t size);

    std::string_view rest_;
    const std::string &name_;
};

/// An image file, whole: the kinds that are read here are small beside the memory.
class MessageFile {
  public:
    /// Errors: "images" when it is not there or not such an image.
    MessageFile(const ImageDirectory &directory, const std::string &name, uint32_t magic);
    MessageFile(const MessageFile &) = delete;
    MessageFile &operator=(const MessageFile &) = delete;

    /// The next message, unchecked; false at the end. Error "images" when it is cut off.
    bool next(std::string_view &message);
    /// As next(), for files that hold one message more.
    std::string_view need();
    [[nodiscard]] const std::string &name() const { return name_; }

  private:
    uint32_t word();

    std::string name_;
    std::string bytes_;
    std::string_view rest_;
};

enum Magic : uint32_t {
    kCommonMagic = 0x54564319,
    kServiceMagic = 0x55105940,
    kInventoryMagic = 0x58313116,
    kPstreeMagic = 0x50273030,
    kCoreMagic = 0x55053847,
    kMmMagic = 0x57492820,
    kPagemapMagic = 0x56084025,
};

} // namespace pclive::restore
