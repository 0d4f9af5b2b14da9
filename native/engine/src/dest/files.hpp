// SPDX-License-Identifier: Apache-2.0
// Files from the peer, put into one directory and nowhere else.
#pragma once

#include "control/fd.hpp"
#include "wire/decode.hpp"
#include <map>
#include <optional>
#include <string>

namespace pclive::dest {

class FileSink {
  public:
    /// `directory` must exist and be ours alone. Error "files".
    explicit FileSink(const std::string &directory);

    static bool concerns(wire::FrameType type) noexcept;
    /// FILE, FILE_DATA or FILE_END. Errors: "protocol", "no-space", "files".
    void take(const wire::Frame &frame);

    [[nodiscard]] bool open() const { return current_.has_value(); }
    [[nodiscard]] uint64_t files() const { return files_; }
    [[nodiscard]] uint64_t bytes() const { return bytes_; }

    /// All files together: more than any container's state has, fewer than would fill a file system with
    /// inodes.
    static constexpr uint64_t kMaxFiles = 65536;

  private:
    struct Current {
        std::string name;
        uint64_t size, done;
        Fd fd;
    };
    void begin(const wire::Frame &frame);
    void data(const wire::Frame &frame);
    void end(const wire::Frame &frame);

    Fd directory_;
    std::optional<Current> current_;
    uint64_t files_ = 0, bytes_ = 0;
};

/// Opens a directory that must not be a symbolic link. Error "files".
Fd openDirectory(int at, const std::string &path);

/// Writes all of it. Errors: "no-space", "files".
void writeFile(int fd, const std::string &name, const void *data, size_t size);

} // namespace pclive::dest
