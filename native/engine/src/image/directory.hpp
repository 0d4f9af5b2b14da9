// SPDX-License-Identifier: Apache-2.0
// A directory of image files. Every error names the file by its path.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <vector>

namespace pclive::image {

class Directory {
  public:
    /// Error "files".
    explicit Directory(std::string path);

    [[nodiscard]] std::string pathOf(const std::string &name) const { return path_ + "/" + name; }
    /// Names of the regular files, sorted.
    [[nodiscard]] std::vector<std::string> files() const;
    [[nodiscard]] bool empty() const;
    [[nodiscard]] uint64_t freeBytes() const;

    [[nodiscard]] Fd open(const std::string &name) const;
    /// A new file for writing, of mode 0600. `flags` besides.
    [[nodiscard]] Fd create(const std::string &name, int flags = 0) const;
    [[nodiscard]] uint64_t size(const std::string &name) const;
    /// Error "images" when it is longer than `limit`.
    [[nodiscard]] std::string read(const std::string &name, uint64_t limit) const;
    /// All of `size` bytes at `offset` of the open file `name`. Error "files", also when it is shorter.
    void readAt(int fd, const std::string &name, void *to, uint64_t size, uint64_t offset) const;
    void append(int fd, const std::string &name, const void *bytes, uint64_t size) const;
    void write(const std::string &name, const std::string &bytes) const;
    void rename(const std::string &from, const std::string &to) const;
    void link(const std::string &name, const std::string &target) const;
    /// To the disk: a file's contents, and the directory itself.
    void sync(const std::string &name) const;
    void sync() const;

    /// "no-space" or "files", for a write that failed with `error`.
    [[nodiscard]] Error writeError(const std::string &name, int error) const;

  private:
    std::string path_;
    Fd fd_;
};

} // namespace pclive::image
