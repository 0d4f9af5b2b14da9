// SPDX-License-Identifier: Apache-2.0
#include "wire/channel_state.hpp"

#include "wire/crc32c.hpp"
#include "wire/decode.hpp"
#include <algorithm>
#include <csignal>
#include <pthread.h>

namespace pclive::wire {

Channel::State::State(std::unique_ptr<Transport> connection, size_t queueBytes)
    : transport(std::move(connection)), maxQueued_(queueBytes),
      pool_(std::make_shared<BufferPool>(kMaxPayload, queueBytes / kMaxData + 8)) {
    // Signals are for the threads that the rest of the engine knows of.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    reader_ = std::thread([this] { readLoop(); });
    heart_ = std::thread([this] { heartLoop(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Channel::State::~State() {
    fail(Error("aborted", "the connection was closed"));
    reader_.join();
    heart_.join();
}

void Channel::State::fail(const Error &error) noexcept {
    {
        std::lock_guard lock(mutex_);
        if (!failure_)
            failure_ = aborting_ ? *aborting_ : error;
    }
    transport->shutdown();
    changed_.notify_all();
    stopped_.notify_all();
}

void Channel::State::throwFailure() {
    throw *failure_;
}

// Sending --------------------------------------------------------------------

void Channel::State::send(FrameType type, std::span<const iovec> payload, uint8_t flags, Deadline deadline) {
    std::unique_lock lock(sendMutex_, std::defer_lock);
    if (deadline == Deadline::max())
        lock.lock();
    else if (!lock.try_lock_until(deadline))
        throw Error("timeout", "the peer does not read");
    try {
        writeFrame(type, payload, flags, deadline);
    } catch (const Error &error) {
        throwSendFailure(error);
    }
}

void Channel::State::writeFrame(FrameType type, std::span<const iovec> payload, uint8_t flags,
                                Deadline deadline) {
    FrameHeader header{kMagic, static_cast<uint8_t>(type), flags, 0, 0, 0, sendSequence_};
    size_t length = 0;
    for (const auto &part : payload) {
        header.crc = crc32c(header.crc, part.iov_base, part.iov_len);
        length += part.iov_len;
    }
    if (length > kMaxPayload)
        throw Error("internal", "a frame of " + std::to_string(length) + " bytes is too long");
    header.length = static_cast<uint32_t>(length);
    writePart(&header, sizeof header, deadline);
    for (const auto &part : payload)
        writePart(part.iov_base, part.iov_len, deadline);
    sendSequence_++;
    if (!holds_ || type == FrameType::abort)
        writeHeld(deadline);
}

/// Each write is a TLS record, a system call and a packet: small parts go in one.
void Channel::State::writePart(const void *data, size_t size, Deadline deadline) {
    if (size < kSmallPart && held_.size() + size <= kHeldBytes) {
        const auto *bytes = static_cast<const uint8_t *>(data);
        held_.insert(held_.end(), bytes, bytes + size);
        return;
    }
    writeHeld(deadline);
    transport->writeAll(data, size, deadline);
}

void Channel::State::writeHeld(Deadline deadline) {
    if (!held_.empty())
        transport->writeAll(held_.data(), held_.size(), deadline);
    held_.clear();
    lastSent_ = Clock::now();
}

void Channel::State::hold() noexcept {
    std::lock_guard lock(sendMutex_);
    holds_++;
}

void Channel::State::letGo() {
    std::lock_guard lock(sendMutex_);
    if (--holds_)
        return;
    try {
        writeHeld(Deadline::max());
    } catch (const Error &error) {
        throwSendFailure(error);
    }
}

/// A broken connection often means that the peer told us something and hung up: give the reader the time to
/// find it.
void Channel::State::throwSendFailure(const Error &own) {
    if (own.code() != "peer-lost")
        fail(own); // half a frame may be out: nothing can follow it
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(1), [this] { return failure_ || readerDone_; });
    lock.unlock();
    fail(own);
    throwFailure();
}

void Channel::State::abort(const std::string &text) noexcept {
    try {
        {
            std::lock_guard lock(mutex_);
            if (failure_)
                return;
            aborting_ = Error("aborted", "aborted: " + text);
        }
        iovec part{const_cast<char *>(text.data()), std::min<size_t>(text.size(), 4096)};
        send(FrameType::abort, std::span<const iovec>(&part, 1), 0, after(std::chrono::milliseconds(200)));
    } catch (const std::exception &) {
        // The peer will notice the end of the connection instead.
    }
    fail(*aborting_);
}

void Channel::State::heartLoop() noexcept {
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            stopped_.wait_for(lock, std::chrono::milliseconds(500), [this] { return failure_.has_value(); });
            if (failure_)
                return;
        }
        if (Clock::now() - lastSent_.load() < kPingEvery)
            continue;
        std::unique_lock lock(sendMutex_, std::try_to_lock);
        if (!lock)
            continue; // somebody is sending: that is a sign of life too
        try {
            writeFrame(FrameType::ping, {}, 0, Deadline::max());
        } catch (const Error &) {
            return; // the reader sees the same and says it
        }
    }
}

// Receiving ------------------------------------------------------------------

Frame Channel::State::receive(Deadline deadline) {
    std::unique_lock lock(mutex_);
    auto ready = [this] { return !queue_.empty() || failure_; };
    if (deadline == Deadline::max())
        changed_.wait(lock, ready);
    else if (!changed_.wait_until(lock, deadline, ready))
        throw Error("timeout", "the peer did not answer in time");
    // What came whole before the connection broke still counts, but after our own abort nothing does.
    if (queue_.empty() || (failure_ && failure_->code() == "aborted"))
        throwFailure();
    Frame frame = std::move(queue_.front());
    queue_.pop_front();
    queuedBytes -= frame.payload.size();
    lock.unlock();
    changed_.notify_all();
    return frame;
}

void Channel::State::readLoop() noexcept {
    try {
        for (;;) {
            Frame frame = readFrame();
            if (frame.type == FrameType::ping)
                continue;
            if (frame.type == FrameType::abort)
                throw Error("peer-aborted", "the peer gave up: " + decodeText(frame));
            if (frame.type == FrameType::error)
                throw decodeError(frame);
            push(std::move(frame));
        }
    } catch (const Error &error) {
        fail(error);
    } catch (const std::exception &error) {
        fail(Error("internal", error.what()));
    }
    {
        std::lock_guard lock(mutex_);
        readerDone_ = true;
    }
    changed_.notify_all();
}

void Channel::State::readExactly(void *data, size_t size) {
    auto *at = static_cast<uint8_t *>(data);
    while (size) {
        size_t got = transport->readSome(at, size, lastHeard_ + kSilence);
        if (!got)
            throw Error("peer-lost",
                        "the peer gave no sign of life for " + std::to_string(kSilence.count() / 1000) + " s",
                        "check the network between the hosts");
        lastHeard_ = Clock::now();
        at += got;
        size -= got;
    }
}

Frame Channel::State::readFrame() {
    FrameHeader header;
    readExactly(&header, sizeof header);
    checkHeader(header, receiveSequence_);
    receiveSequence_++;
    Frame frame;
    frame.type = static_cast<FrameType>(header.type);
    frame.flags = header.flags;
    frame.payload = pool_->take(header.length);
    readExactly(frame.payload.data(), header.length);
    if (crc32c(0, frame.payload.data(), header.length) != header.crc)
        throw Error("protocol", "a frame arrived damaged");
    return frame;
}

void Channel::State::push(Frame frame) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [this] { return failure_ || (queuedBytes < maxQueued_ && queue_.size() < kQueueFrames); });
    if (failure_)
        throwFailure();
    queuedBytes += frame.payload.size();
    queue_.push_back(std::move(frame));
    lock.unlock();
    changed_.notify_all();
    lastHeard_ = Clock::now(); // it was us who did not listen
}

} // namespace pclive::wire
