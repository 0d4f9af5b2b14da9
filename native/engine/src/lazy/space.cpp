// SPDX-License-Identifier: Apache-2.0
#include "lazy/space.hpp"

#include "wire/frames.hpp"
#include <cerrno>
#include <sys/ioctl.h>

namespace pclive::lazy {
namespace {

using wire::kPageSize;

constexpr uint64_t kFeatures =
    UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;

bool hasEnded(int error) {
    return error == ESRCH || error == ENOSPC; // ENOSPC: before 4.13
}

} // namespace

void enable(int userfaultfd) {
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = kFeatures;
    if (::ioctl(userfaultfd, UFFDIO_API, &api) != 0)
        throw systemError("no-lazy", "the kernel does not tell of forks and moves", errno);
}

void Space::watch(uint64_t start, uint64_t end) {
    uffdio_register request{};
    request.range = {start, end - start};
    request.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (::ioctl(fd_.get(), UFFDIO_REGISTER, &request) != 0)
        throw systemError("no-lazy", "cannot watch staged memory", errno);
}

Filled Space::fill(const Part &part, const uint8_t *bytes) {
    uint64_t at = part.start, most = part.end;
    while (at < part.end) {
        uffdio_copy copy{};
        copy.dst = at;
        copy.src = reinterpret_cast<uint64_t>(bytes) + (at - part.start);
        copy.len = most - at;
        if (::ioctl(fd_.get(), UFFDIO_COPY, &copy) == 0) {
            at = most;
            most = part.end;
        } else if (copy.copy > 0) {
            at += static_cast<uint64_t>(copy.copy);
        } else if (errno == EEXIST || (errno == ENOENT && copy.len == kPageSize)) {
            at += kPageSize;
            most = part.end;
        } else if (errno == ENOENT) { // some of it is mapped, perhaps
            most = at + kPageSize;
        } else if (errno == EAGAIN) {
            todo.erase(part.start, at);
            return Filled::busy;
        } else if (hasEnded(errno)) {
            return Filled::gone;
        } else if (errno != EINTR) {
            throw systemError("lazy-memory", "cannot fill the container's memory", errno,
                              "is the host, or the container's cgroup, out of memory?");
        }
    }
    todo.erase(part.start, part.end);
    return Filled::done;
}

Filled Space::zero(uint64_t page) {
    uffdio_zeropage request{};
    request.range = {page, kPageSize};
    if (::ioctl(fd_.get(), UFFDIO_ZEROPAGE, &request) == 0)
        return Filled::done;
    if (errno == EAGAIN)
        return Filled::busy;
    if (hasEnded(errno))
        return Filled::gone;
    wake(page); // it is there already, or not mapped any more
    return Filled::done;
}

void Space::wake(uint64_t page) const {
    uffdio_range range{page, kPageSize};
    ::ioctl(fd_.get(), UFFDIO_WAKE, &range);
}

bool Space::receive(uffd_msg &message) const {
    return ::read(fd_.get(), &message, sizeof message) == sizeof message;
}

} // namespace pclive::lazy
