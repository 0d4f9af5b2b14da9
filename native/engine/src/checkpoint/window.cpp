// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/window.hpp"
#include "control/error.hpp"
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <vector>

namespace pclive {
namespace {

/// What must stay free beside the copy: a sixteenth of the memory, and something for the engine itself.
uint64_t margin() {
    return (static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
            static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))) /
               16 +
           (64u << 20);
}

Error noMemory(int error) {
    return systemError("no-memory", "there is no room for a copy of the container's memory", error,
                       "free memory on this host, raise vm.max_map_count, or checkpoint without a copy");
}

} // namespace

uint64_t availableMemory() {
    std::ifstream file("/proc/meminfo");
    std::string name, unit;
    for (uint64_t value = 0; file >> name >> value; std::getline(file, unit))
        if (name == "MemAvailable:")
            return value << 10;
    return UINT64_MAX;
}

SpoolFile::SpoolFile(std::string folder)
    : folder_(std::move(folder)), fd_(::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {
    if (fd_)
        return;
    auto name = folder_ + "/pclive-spool-XXXXXX"; // a file system without O_TMPFILE
    fd_ = Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd_)
        throw systemError("files", "cannot make a file for the container's memory in " + folder_, errno,
                          "free memory on this host, or mend the spool's folder");
    ::unlink(name.c_str());
}

uint64_t SpoolFile::takeWindow() {
    if (!free_.empty()) {
        uint64_t offset = free_.back();
        free_.pop_back();
        return offset;
    }
    uint64_t offset = end_;
    if (::ftruncate(fd_.get(), static_cast<off_t>(end_ + kWindowBytes)))
        throw systemError("no-space", "cannot extend the file for the container's memory in " + folder_,
                          errno);
    end_ += kWindowBytes;
    return offset;
}

void SpoolFile::giveWindow(uint64_t offset) noexcept {
    ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                kWindowBytes);
    free_.push_back(offset);
}

void SpoolFile::provide(uint64_t offset, uint64_t bytes) {
    int error = ::posix_fallocate(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes));
    if (error)
        throw systemError("no-space", "cannot write the container's memory to a file in " + folder_, error,
                          "make room there, or free memory on this host");
}

Window::Window(std::shared_ptr<SpoolFile> spool) : spool_(std::move(spool)) {
    constexpr uint64_t kReserved = kWindowBytes + kHugeBytes;
    void *reserved =
        ::mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        throw noMemory(errno);
    auto first = reinterpret_cast<uintptr_t>(reserved), base = (first + kHugeBytes - 1) & ~(kHugeBytes - 1);
    base_ = reinterpret_cast<uint8_t *>(base);
    if (base > first)
        ::munmap(reserved, base - first);
    ::munmap(base_ + kWindowBytes, first + kReserved - (base + kWindowBytes));
    try {
        if (spool_)
            inSpool_ = spool_->takeWindow();
    } catch (...) {
        ::munmap(base_, kWindowBytes);
        throw;
    }
    int flags = MAP_FIXED | (spool_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    if (::mmap(base_, kWindowBytes, PROT_READ | PROT_WRITE, flags, spool_ ? spool_->fd() : -1,
               static_cast<off_t>(inSpool_)) == MAP_FAILED) {
        int error = errno;
        ::munmap(base_, kWindowBytes);
        throw noMemory(error);
    }
    if (!spool_) // only where we ask for them, whatever the host's setting
        ::madvise(base_, kWindowBytes, MADV_NOHUGEPAGE);
}

Window::~Window() {
    ::munmap(base_, kWindowBytes);
    if (spool_)
        spool_->giveWindow(inSpool_);
}

void Window::makeHuge(uint64_t offset, uint64_t bytes) {
    if (spool_ || ::madvise(base_ + offset, bytes, MADV_HUGEPAGE))
        return;
    for (uint64_t at = offset; at < offset + bytes; at += kHugeBytes)
        huge_.set(at / kHugeBytes);
}

void Window::provide(uint64_t offset, uint64_t bytes) {
    if (spool_)
        spool_->provide(inSpool_ + offset, bytes);
}

void Window::discard(uint64_t offset, uint64_t bytes) {
    ::madvise(base_ + offset, bytes, spool_ ? MADV_REMOVE : MADV_DONTNEED);
}

std::unique_ptr<Window> WindowMaker::make(uint64_t bytes) {
    uint64_t available = available_(), spare = margin();
    if (available >= spare && available - spare >= bytes)
        return std::make_unique<Window>(nullptr);
    if (!spool_)
        spool_ = std::make_shared<SpoolFile>(spoolFolder_);
    return std::make_unique<Window>(spool_);
}

} // namespace pclive
