// SPDX-License-Identifier: Apache-2.0
// userfaultfd's asynchronous write-protection: what headers before Linux 6.7 lack, and the two calls that it
// takes.
#pragma once

#include "control/fd.hpp"
#include <cstdint>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <utility>

namespace pclive::uffd {

inline constexpr int kUserModeOnly = 1; // UFFD_USER_MODE_ONLY: permitted to every user, and enough for us
inline constexpr uint64_t kWpUnpopulated = 1 << 13; // pages that were never touched can be protected
inline constexpr uint64_t kWpAsync = 1 << 15;

/// Of our own memory; empty where the kernel has not got these features.
inline Fd open(uint64_t features) {
    Fd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly)));
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = features;
    return fd && ::ioctl(fd.get(), UFFDIO_API, &api) == 0 ? std::move(fd) : Fd();
}

/// For write-protection. False with errno.
[[nodiscard]] inline bool registerRange(int fd, uint64_t start, uint64_t end) {
    uffdio_register request{};
    request.range = {start, end - start};
    request.mode = UFFDIO_REGISTER_MODE_WP;
    return ::ioctl(fd, UFFDIO_REGISTER, &request) == 0;
}

} // namespace pclive::uffd
