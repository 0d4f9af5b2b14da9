// SPDX-License-Identifier: Apache-2.0
#include "restore/image_directory.hpp"

#include "restore/messages.hpp"
#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace pclive::restore {
namespace {

constexpr size_t kMaxNames = 1u << 20;

Error cannot(const std::string &what, int error) {
    return systemError("images", what, error, "give the directory that a complete checkpoint was written to");
}

} // namespace

ImageDirectory::ImageDirectory(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {
    struct stat status {};
    if (fstat(fd_.get(), &status))
        throw cannot("cannot look at " + path_, errno);
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

ImageDirectory::ImageDirectory(const std::string &path)
    : ImageDirectory(
          [&] {
              Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
              if (!fd)
                  throw cannot("cannot open the images in " + path, errno);
              return fd;
          }(),
          path) {}

bool ImageDirectory::hasParent() const {
    struct stat status {};
    return fstatat(fd_.get(), "parent", &status, AT_SYMLINK_NOFOLLOW) == 0;
}

ImageDirectory ImageDirectory::parent() const {
    Fd fd(openat(fd_.get(), "parent", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd)
        throw cannot("cannot open the parent of the images, " + pathOf("parent"), errno);
    return {std::move(fd), pathOf("parent")};
}

bool ImageDirectory::has(const std::string &name) const {
    return faccessat(fd_.get(), name.c_str(), F_OK, 0) == 0;
}

std::vector<std::string> ImageDirectory::names() const {
    int copy = openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    std::unique_ptr<DIR, int (*)(DIR *)> stream(copy < 0 ? nullptr : fdopendir(copy), closedir);
    if (!stream)
        throw cannot("cannot list " + path_, errno);
    std::vector<std::string> result;
    while (const dirent *entry = readdir(stream.get())) {
        std::string name = entry->d_name;
        if (name == "." || name == "..")
            continue;
        if (result.size() == kMaxNames)
            throw Error("images", path_ + " has too many files for an image");
        result.push_back(std::move(name));
    }
    std::sort(result.begin(), result.end());
    return result;
}

Fd ImageDirectory::open(const std::string &name, uint64_t &size) const {
    // Without O_NONBLOCK, a pipe of that name would hold us up for ever.
    Fd fd(openat(fd_.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status))
        throw cannot("the image has no readable " + pathOf(name), errno);
    if (!S_ISREG(status.st_mode))
        throw damaged(pathOf(name), "it is no regular file");
    size = static_cast<uint64_t>(status.st_size);
    return fd;
}

uint64_t ImageDirectory::sizeOf(const std::string &name) const {
    uint64_t size;
    Fd fd = open(name, size);
    return size;
}

std::string ImageDirectory::readWhole(const std::string &name) const {
    uint64_t size;
    Fd fd = open(name, size);
    if (size > kMaxWholeFile)
        throw damaged(pathOf(name), "it is larger than any such image");
    std::string bytes(size, '\0');
    readAt(fd.get(), bytes.data(), size, 0, pathOf(name));
    return bytes;
}

void readAt(int fd, void *to, size_t size, uint64_t offset, const std::string &path) {
    auto *at = static_cast<char *>(to);
    while (size) {
        ssize_t got = pread(fd, at, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw systemError("images", "cannot read " + path, errno);
        if (got == 0)
            throw damaged(path, "it ends too early");
        at += got;
        size -= static_cast<size_t>(got);
        offset += static_cast<uint64_t>(got);
    }
}

} // namespace pclive::restore
