// SPDX-License-Identifier: Apache-2.0
#include "dest/files.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

namespace pclive::dest {
namespace {

Error noSpace(const std::string &name) {
    return Error("no-space", "there is no room for " + name + " in the image directory",
                 "make room on the file system that holds PCLive's run directory");
}

} // namespace

Fd openDirectory(int at, const std::string &path) {
    Fd fd(openat(at, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd)
        throw systemError("files", "cannot open the directory " + path, errno);
    return fd;
}

void writeFile(int fd, const std::string &name, const void *data, size_t size) {
    auto *at = static_cast<const uint8_t *>(data);
    while (size) {
        ssize_t put = ::write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            throw errno == ENOSPC ? noSpace(name) : systemError("files", "cannot write " + name, errno);
        at += put;
        size -= static_cast<size_t>(put);
    }
}

FileSink::FileSink(const std::string &directory) : directory_(openDirectory(AT_FDCWD, directory)) {}

bool FileSink::concerns(wire::FrameType type) noexcept {
    return type == wire::FrameType::file || type == wire::FrameType::fileData ||
           type == wire::FrameType::fileEnd;
}

void FileSink::take(const wire::Frame &frame) {
    if (frame.type == wire::FrameType::file)
        begin(frame);
    else if (frame.type == wire::FrameType::fileData)
        data(frame);
    else
        end(frame);
}

void FileSink::begin(const wire::Frame &frame) {
    auto head = wire::decodeFile(frame);
    if (current_ || files_ >= kMaxFiles)
        wire::malformed(frame.type, current_ ? "inside another file" : "too many files");
    struct statvfs room {};
    if (fstatvfs(directory_.get(), &room) == 0 && head.size / room.f_frsize >= room.f_bavail)
        throw noSpace(head.name);
    // A new file always, never one that is there already: neither a link nor an open file of somebody else is
    // written to.
    if (unlinkat(directory_.get(), head.name.c_str(), 0) && errno != ENOENT)
        throw systemError("files", "cannot replace " + head.name, errno);
    Fd fd(openat(directory_.get(), head.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0600));
    if (!fd)
        throw systemError("files", "cannot create " + head.name, errno);
    current_ = Current{std::move(head.name), head.size, 0, std::move(fd)};
}

void FileSink::data(const wire::Frame &frame) {
    auto bytes = frame.bytes();
    if (!current_ || bytes.empty() || bytes.size() > wire::kMaxData ||
        bytes.size() > current_->size - current_->done)
        wire::malformed(frame.type, "not in this file");
    writeFile(current_->fd.get(), current_->name, bytes.data(), bytes.size());
    current_->done += bytes.size();
}

void FileSink::end(const wire::Frame &frame) {
    auto end = wire::decode<wire::FileEndFrame>(frame);
    if (!current_ || end.size != current_->size || current_->done != current_->size)
        wire::malformed(frame.type, "the file is not complete");
    files_++;
    bytes_ += current_->size;
    current_.reset();
}

} // namespace pclive::dest
