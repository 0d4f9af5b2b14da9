// Copies by splice(2) where pages can change hands, else through a buffer that all streams share.
#include "stream.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace pclive {
namespace {

// A turn of one stream; then the others have theirs.
constexpr uint64_t kFairShare = 1024 * 1024;

// With less than this in the pipe its bytes are copied: a page that was handed over takes one of the few
// slots of the other pipe, however little is in it, and a chatty process would fill the fifo with sixteen
// short lines.
constexpr int kSpliceAt = 32 * 1024;

mode_t kindOf(int fd) {
    struct stat about {};
    return fd >= 0 && fstat(fd, &about) == 0 ? about.st_mode & S_IFMT : 0;
}

} // namespace

Stream::Stream(Descriptor input, Descriptor output, WhenLost whenLost)
    : input_(std::move(input)), output_(std::move(output)), whenLost_(whenLost), writing_(output_.get() >= 0),
      canSplice_(kindOf(input_.get()) == S_IFIFO && kindOf(output_.get()) == S_IFIFO),
      toFile_(kindOf(output_.get()) == S_IFREG) {}

Wait Stream::advance(std::span<char> scratch) {
    const uint64_t until = bytes_ + kFairShare;
    Wait wait = Wait::Nothing;
    while (wait == Wait::Nothing && bytes_ < until)
        wait = step(scratch);
    return wait;
}

Wait Stream::step(std::span<char> scratch) {
    if (!held_.empty()) {
        const std::string rest = std::exchange(held_, {});
        put(rest);
        if (!held_.empty())
            return Wait::Output;
    }
    if (whenLost_ == WhenLost::End && output_.get() >= 0 && !writing_)
        return Wait::Ended;
    return worthSplicing() ? splice() : copy(scratch);
}

bool Stream::worthSplicing() const {
    int waiting = 0;
    return canSplice_ && writing_ && ioctl(input_.get(), FIONREAD, &waiting) == 0 && waiting >= kSpliceAt;
}

Wait Stream::splice() {
    const ssize_t moved = ::splice(input_.get(), nullptr, output_.get(), nullptr, kFairShare,
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved >= 0) {
        bytes_ += static_cast<uint64_t>(moved);
        return moved == 0 ? Wait::Ended : Wait::Nothing;
    }
    // There is something to read, so it is the output that has no room.
    if (errno == EAGAIN)
        return Wait::Output;
    if (errno == EPIPE)
        outputFailed();
    else if (errno != EINTR)
        canSplice_ = false;
    return Wait::Nothing;
}

Wait Stream::copy(std::span<char> scratch) {
    const ssize_t got = read(input_.get(), scratch.data(), scratch.size());
    if (got == 0)
        return Wait::Ended;
    if (got < 0)
        return inputFailed();
    bytes_ += static_cast<uint64_t>(got);
    if (writing_)
        put(scratch.first(static_cast<size_t>(got)));
    return held_.empty() ? Wait::Nothing : Wait::Output;
}

Wait Stream::inputFailed() {
    if (errno == EAGAIN)
        return Wait::Input;
    if (errno == EINTR)
        return Wait::Nothing;
    // A terminal's master says EIO when the last process has closed the other side.
    if (errno != EIO)
        error_ = errno;
    return Wait::Ended;
}

void Stream::put(std::span<const char> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(output_.get(), bytes.data(), bytes.size());
        if (written >= 0)
            bytes = bytes.subspan(static_cast<size_t>(written));
        else if (errno == EAGAIN)
            return held_.assign(bytes.data(), bytes.size()), void();
        else if (errno != EINTR)
            return outputFailed();
    }
}

// The process must not hang for an output that has gone. A file whose disk is full stays: there may be room
// again for what comes later.
void Stream::outputFailed() {
    writing_ = toFile_;
}

} // namespace pclive
