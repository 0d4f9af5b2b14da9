// SPDX-License-Identifier: Apache-2.0
#include "wire/transport.hpp"

#include "wire/socket.hpp"
#include <algorithm>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

namespace pclive::wire {
namespace {

Error lost(const std::string &text) {
    return Error("peer-lost", "the connection to the peer is lost: " + text);
}

} // namespace

Transport::Want Transport::outcome(int result) {
    int error = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
        return Want::nothing;
    case SSL_ERROR_WANT_READ:
        return Want::read;
    case SSL_ERROR_WANT_WRITE:
        return Want::write;
    case SSL_ERROR_ZERO_RETURN:
        throw lost("closed by the peer");
    case SSL_ERROR_SYSCALL:
        throw lost(error ? std::strerror(error) : "closed by the peer");
    default:
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        throw lost(reason ? reason : "TLS error");
    }
}

bool Transport::wait(Want want, Deadline deadline) {
    return waitFd(fd_.get(), want == Want::write ? POLLOUT : POLLIN, deadline);
}

void Transport::count() {
    sent_ = BIO_number_written(SSL_get_wbio(ssl_.get()));
    received_ = BIO_number_read(SSL_get_rbio(ssl_.get()));
}

size_t Transport::readSome(void *data, size_t size, Deadline deadline) {
    for (;;) {
        Want want;
        {
            std::lock_guard lock(mutex_);
            if (closed_)
                throw lost("closed");
            ERR_clear_error();
            errno = 0;
            int result = SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30)));
            count();
            if (result > 0)
                return static_cast<size_t>(result);
            want = outcome(result);
        }
        if (!wait(want, deadline))
            return 0;
    }
}

void Transport::readAll(void *data, size_t size, Deadline deadline) {
    auto *at = static_cast<uint8_t *>(data);
    while (size) {
        size_t got = readSome(at, size, deadline);
        if (!got)
            throw Error("timeout", "the peer is silent");
        at += got;
        size -= got;
    }
}

void Transport::writeAll(const void *data, size_t size, Deadline deadline) {
    auto *at = static_cast<const uint8_t *>(data);
    while (size) {
        Want want;
        {
            std::lock_guard lock(mutex_);
            if (closed_)
                throw lost("closed");
            ERR_clear_error();
            errno = 0;
            int result = SSL_write(ssl_.get(), at, static_cast<int>(std::min<size_t>(size, 1 << 30)));
            count();
            if (result > 0) {
                at += result;
                size -= static_cast<size_t>(result);
                continue;
            }
            want = outcome(result);
        }
        if (!wait(want, deadline))
            throw Error("timeout", "the peer does not read");
    }
}

void Transport::shutdown() noexcept {
    closed_ = true;
    ::shutdown(fd_.get(), SHUT_RDWR);
}

} // namespace pclive::wire
