// SPDX-License-Identifier: Apache-2.0
#include "archive/bytes.hpp"
#include "control/error.hpp"
#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace pclive::archive {
namespace {

/// Whether to try again: whoever gave us the descriptor may have made it one that does not wait.
bool comesAgain(int fd, short event, int error) {
    if (error == EAGAIN) {
        pollfd wanted{fd, event, 0};
        ::poll(&wanted, 1, -1);
    }
    return error == EINTR || error == EAGAIN;
}

} // namespace

size_t ByteSource::readFully(uint8_t *to, size_t size) {
    size_t got = 0;
    while (got < size) {
        size_t some = read(to + got, size - got);
        if (!some)
            break;
        got += some;
    }
    return got;
}

void FdSink::write(const uint8_t *bytes, size_t size) {
    while (size) {
        ssize_t put = ::write(fd_, bytes, size);
        if (put < 0 && comesAgain(fd_, POLLOUT, errno))
            continue;
        if (put < 0 && errno == EPIPE)
            throw Error("stream", "whoever reads the archive has gone",
                        "see what the other end of the pipe says");
        if (put < 0)
            throw systemError(errno == ENOSPC || errno == EDQUOT ? "no-space" : "stream",
                              "cannot write the archive", errno,
                              "make room there, or write it to another place");
        bytes += put;
        size -= static_cast<size_t>(put);
    }
}

size_t FdSource::read(uint8_t *to, size_t size) {
    if (!ahead_.empty()) {
        size_t count = std::min(size, ahead_.size());
        std::copy_n(ahead_.begin(), count, to);
        ahead_.erase(ahead_.begin(), ahead_.begin() + static_cast<ptrdiff_t>(count));
        return count;
    }
    for (;;) {
        ssize_t got = ::read(fd_, to, size);
        if (got >= 0)
            return static_cast<size_t>(got);
        if (!comesAgain(fd_, POLLIN, errno))
            throw systemError("stream", "cannot read the archive", errno);
    }
}

} // namespace pclive::archive
