// SPDX-License-Identifier: Apache-2.0
#include "dest/remote.hpp"

#include "dest/page_set.hpp"
#include "proc/pidfd.hpp"
#include "proc/transfer.hpp"
#include <algorithm>
#include <cerrno>
#include <climits>
#include <sys/syscall.h>
#include <utility>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 // Linux 6.1
#endif

namespace pclive::dest {
namespace {

constexpr size_t kMaxPieces = IOV_MAX;

Error failed(int error) {
    return systemError("overlay-lost", "cannot reach CRIU's memory", error ? error : EFAULT);
}

} // namespace

Remote::Remote(int pid) : pid_(pid), pidfd_(openProcess(pid)) {
    if (!pidfd_)
        throw failed(errno);
}

void Remote::add(const void *local, uint64_t remote, size_t size) {
    for (const auto *at = static_cast<const uint8_t *>(local); size;) {
        size_t step = std::min(size, kBytesPerCall - listed_);
        append(at, remote, step);
        if (listed_ == kBytesPerCall)
            flush();
        at += step;
        remote += step;
        size -= step;
    }
}

void Remote::append(const void *local, uint64_t remote, size_t size) {
    if (!local_.empty()) {
        iovec &localEnd = local_.back(), &remoteEnd = remote_.back();
        if (static_cast<char *>(localEnd.iov_base) + localEnd.iov_len == local &&
            reinterpret_cast<uint64_t>(remoteEnd.iov_base) + remoteEnd.iov_len == remote) {
            localEnd.iov_len += size;
            remoteEnd.iov_len += size;
            listed_ += size;
            return;
        }
    }
    if (local_.size() == kMaxPieces)
        flush();
    local_.push_back({const_cast<void *>(local), size});
    remote_.push_back({reinterpret_cast<void *>(remote), size});
    listed_ += size;
}

void Remote::flush() {
    if (local_.empty())
        return;
    auto wanted = static_cast<ssize_t>(std::exchange(listed_, 0));
    ssize_t put = process_vm_writev(pid_, local_.data(), local_.size(), remote_.data(), remote_.size(), 0);
    int error = errno;
    local_.clear();
    remote_.clear();
    if (put != wanted) // a part only: a page that cannot be had, for want of memory
        throw failed(put < 0 ? error : ENOMEM);
}

void Remote::read(void *local, uint64_t remote, size_t size) {
    iovec here{local, size}, there{reinterpret_cast<void *>(remote), size};
    ssize_t got = process_vm_readv(pid_, &here, 1, &there, 1, 0);
    if (got != static_cast<ssize_t>(size))
        throw failed(got < 0 ? errno : EFAULT);
}

void Remote::collapse(const std::vector<uint64_t> &blocks) noexcept {
    for (uint64_t block : blocks) {
        if (!canCollapse_)
            return;
        // One block a call: a call that fails in the middle does not tell where.
        iovec piece{reinterpret_cast<void *>(block), kBlockBytes};
        if (syscall(SYS_process_madvise, pidfd_.get(), &piece, 1, MADV_COLLAPSE, 0) < 0 &&
            (errno == ENOSYS || errno == EPERM))
            canCollapse_ = false;
    }
}

} // namespace pclive::dest
