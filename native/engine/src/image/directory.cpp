// SPDX-License-Identifier: Apache-2.0
#include "image/directory.hpp"
#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <memory>
#include <sys/stat.h>
#include <sys/statvfs.h>

namespace pclive::image {

Directory::Directory(std::string path)
    : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!fd_)
        throw systemError("files", "cannot open the directory " + path_, errno);
}

std::vector<std::string> Directory::files() const {
    std::unique_ptr<DIR, int (*)(DIR *)> entries(::opendir(path_.c_str()), ::closedir);
    if (!entries)
        throw systemError("files", "cannot read the directory " + path_, errno);
    std::vector<std::string> names;
    struct stat status {};
    while (const dirent *entry = ::readdir(entries.get()))
        if (!::fstatat(fd_.get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) && S_ISREG(status.st_mode))
            names.emplace_back(entry->d_name);
    std::sort(names.begin(), names.end());
    return names;
}

bool Directory::empty() const {
    std::unique_ptr<DIR, int (*)(DIR *)> entries(::opendir(path_.c_str()), ::closedir);
    int count = 0;
    while (entries && ::readdir(entries.get()))
        count++;
    return count <= 2; // "." and ".."
}

uint64_t Directory::freeBytes() const {
    struct statvfs room {};
    return ::fstatvfs(fd_.get(), &room) ? UINT64_MAX : uint64_t(room.f_bavail) * room.f_frsize;
}

Fd Directory::open(const std::string &name) const {
    Fd fd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd)
        throw systemError("files", "cannot open " + pathOf(name), errno);
    return fd;
}

Fd Directory::create(const std::string &name, int flags) const {
    Fd fd(
        ::openat(fd_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
    if (!fd)
        throw writeError(name, errno);
    return fd;
}

uint64_t Directory::size(const std::string &name) const {
    struct stat status {};
    if (::fstatat(fd_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW))
        throw systemError("files", "cannot look at " + pathOf(name), errno);
    return static_cast<uint64_t>(status.st_size);
}

std::string Directory::read(const std::string &name, uint64_t limit) const {
    auto fd = open(name);
    auto size = this->size(name);
    if (size > limit)
        throw Error("images", pathOf(name) + " is longer than such an image may be");
    std::string bytes(size, '\0');
    readAt(fd.get(), name, bytes.data(), size, 0);
    return bytes;
}

void Directory::readAt(int fd, const std::string &name, void *to, uint64_t size, uint64_t offset) const {
    for (auto *at = static_cast<uint8_t *>(to); size;) {
        ssize_t got = ::pread(fd, at, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw systemError("files", "cannot read " + pathOf(name), errno);
        if (got == 0)
            throw Error("files", pathOf(name) + " became shorter while it was read");
        at += got;
        offset += static_cast<uint64_t>(got);
        size -= static_cast<uint64_t>(got);
    }
}

void Directory::append(int fd, const std::string &name, const void *bytes, uint64_t size) const {
    for (const auto *at = static_cast<const uint8_t *>(bytes); size;) {
        ssize_t put = ::write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            throw writeError(name, put < 0 ? errno : ENOSPC);
        at += put;
        size -= static_cast<uint64_t>(put);
    }
}

void Directory::write(const std::string &name, const std::string &bytes) const {
    append(create(name).get(), name, bytes.data(), bytes.size());
}

void Directory::rename(const std::string &from, const std::string &to) const {
    if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()))
        throw writeError(to, errno);
}

void Directory::link(const std::string &name, const std::string &target) const {
    if (::symlinkat(target.c_str(), fd_.get(), name.c_str()))
        throw writeError(name, errno);
}

void Directory::sync(const std::string &name) const {
    if (::fsync(open(name).get()))
        throw writeError(name, errno);
}

void Directory::sync() const {
    if (::fsync(fd_.get()) && errno != EINVAL) // some file systems have nothing to write
        throw systemError("files", "cannot write the directory " + path_, errno);
}

Error Directory::writeError(const std::string &name, int error) const {
    if (error == ENOSPC || error == EDQUOT)
        return systemError("no-space", "cannot write " + pathOf(name), error,
                           "make room on that file system, or checkpoint to another one");
    return systemError("files", "cannot write " + pathOf(name), error,
                       "see that the file system of the checkpoint is healthy and can be written to");
}

} // namespace pclive::image
