// SPDX-License-Identifier: Apache-2.0
// A directory of images, and reading its files.
#pragma once

#include "control/fd.hpp"
#include <cstdint>
#include <string>
#include <vector>

namespace pclive::restore {

/// More than any file that is read whole has; pages images are not read whole.
inline constexpr uint64_t kMaxWholeFile = 1u << 30;

class ImageDirectory {
  public:
    /// Error "images" when there is no such directory.
    explicit ImageDirectory(const std::string &path);
    /// The directory that the link `parent` in it points to; none when there is no link.
    /// Error "images" when it points to nothing.
    [[nodiscard]] bool hasParent() const;
    [[nodiscard]] ImageDirectory parent() const;

    [[nodiscard]] int fd() const { return fd_.get(); }
    /// For messages.
    [[nodiscard]] const std::string &path() const { return path_; }
    [[nodiscard]] std::string pathOf(const std::string &name) const { return path_ + "/" + name; }
    [[nodiscard]] bool has(const std::string &name) const;
    /// Names of all entries but "." and "..", sorted.
    [[nodiscard]] std::vector<std::string> names() const;

    /// Opens a regular file (or a link to one) for reading. Error "images".
    [[nodiscard]] Fd open(const std::string &name, uint64_t &size) const;
    [[nodiscard]] uint64_t sizeOf(const std::string &name) const;
    /// All of it. Error "images".
    [[nodiscard]] std::string readWhole(const std::string &name) const;

    /// The same directory has the same identity, by whatever path.
    [[nodiscard]] bool isSame(const ImageDirectory &other) const {
        return device_ == other.device_ && inode_ == other.inode_;
    }

  private:
    ImageDirectory(Fd fd, std::string path);

    Fd fd_;
    std::string path_;
    uint64_t device_ = 0, inode_ = 0;
};

/// Fills `size` bytes at `offset` of the file; Error "images" naming `path` when there are fewer.
void readAt(int fd, void *to, size_t size, uint64_t offset, const std::string &path);

} // namespace pclive::restore
