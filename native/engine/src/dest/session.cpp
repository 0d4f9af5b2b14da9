// SPDX-License-Identifier: Apache-2.0
// The destination's role: listen, begin, release, stats, abort.
#include "control/arguments.hpp"
#include "dest/intake.hpp"
#include "wire/listener.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <optional>
#include <thread>

namespace pclive {
namespace {

using dest::Intake;
using dest::Strategy;

constexpr std::chrono::minutes kBeginTime{2}; // from the peer's connection to `begin`

wire::Identity identityFrom(const Json &request) {
    const Json &tls = objectField(request, "tls");
    return {.ca = stringField(tls, "ca"),
            .cert = stringField(tls, "cert"),
            .key = stringField(tls, "key"),
            .peerName = stringField(tls, "peerName"),
            .migration = stringField(request, "migration"),
            .token = stringField(request, "token")};
}

Strategy strategyFrom(const Json &request) {
    std::string name = stringField(request, "strategy");
    if (name == "pipelined")
        return Strategy::pipelined;
    if (name == "precopy")
        return Strategy::precopy;
    if (name == "stop-and-copy")
        return Strategy::stopAndCopy;
    throw invalidField("strategy", "\"pipelined\", \"precopy\" or \"stop-and-copy\"");
}

void tellPeer(wire::Channel &channel, const Error &error) noexcept {
    try {
        std::string code = error.code().substr(0, 64), text = std::string(error.what()).substr(0, 2048);
        wire::ErrorFrame head{static_cast<uint16_t>(code.size()), 0, 0};
        iovec parts[3] = {{&head, sizeof head}, {code.data(), code.size()}, {text.data(), text.size()}};
        channel.send(wire::FrameType::error, parts);
    } catch (const std::exception &) {
        // It is gone; it will find out by itself.
    }
}

class DestinationSession final : public Session {
  public:
    explicit DestinationSession(Events &events) : events_(events) {}
    ~DestinationSession() override;

    Json handle(const std::string &command, const Json &arguments) override;
    void abort() noexcept override;

  private:
    Json listen(const Json &arguments);
    Json begin(const Json &arguments);
    Json release();
    Json stats();
    void work(std::chrono::milliseconds time) noexcept;
    Intake &waitBegun();
    void fail(const Error &error) noexcept;

    Events &events_;
    std::mutex mutex_; // of all below; what the pointers show to lives as long as the session once it is set
    std::condition_variable changed_;
    bool aborted_ = false;
    bool done_ = false; // CRIU has its GO: the peer matters no longer
    bool failed_ = false;
    std::unique_ptr<wire::Listener> listener_;
    std::optional<wire::Streams> streams_;
    std::unique_ptr<Intake> intake_;
    std::thread worker_;
};

DestinationSession::~DestinationSession() {
    abort();
    if (worker_.joinable())
        worker_.join();
    intake_.reset(); // its thread may still call fail()
}

Json DestinationSession::handle(const std::string &command, const Json &arguments) {
    if (command == "listen")
        return listen(arguments);
    if (command == "begin")
        return begin(arguments);
    if (command == "release")
        return release();
    if (command == "stats")
        return stats();
    throw unknownCommand(command);
}

Json DestinationSession::listen(const Json &arguments) {
    auto port = static_cast<uint16_t>(numberField(arguments, "port", 0, 65535));
    std::chrono::milliseconds time(numberField(arguments, "timeoutMs", 1, 24u * 3600 * 1000));
    std::lock_guard lock(mutex_);
    if (aborted_)
        throw Error("aborted", "the migration was aborted");
    if (listener_)
        throw Error("invalid", "already listening");
    listener_ =
        std::make_unique<wire::Listener>(stringField(arguments, "host"), port, identityFrom(arguments));
    worker_ = std::thread([this, time] { work(time); });
    return {{"port", listener_->port()}};
}

Json DestinationSession::begin(const Json &arguments) {
    Intake::Options options{strategyFrom(arguments),
                            stringField(arguments, "imageDir"),
                            stringField(arguments, "overlaySocket"),
                            static_cast<uint32_t>(numberField(arguments, "stageAfter", 0, 1000, 0)),
                            stringField(arguments, "spool", ""),
                            cpuPercent(arguments)};
    std::lock_guard lock(mutex_);
    if (aborted_)
        throw Error("aborted", "the migration was aborted");
    if (intake_)
        throw Error("invalid", "already begun");
    intake_ =
        std::make_unique<Intake>(events_, std::move(options), [this](const Error &error) { fail(error); });
    changed_.notify_all();
    return Json::object();
}

Json DestinationSession::release() {
    Intake *intake;
    {
        std::lock_guard lock(mutex_);
        intake = intake_.get();
    }
    if (!intake)
        throw Error("not-held", "the migration has not begun");
    intake->release();
    return Json::object();
}

Json DestinationSession::stats() {
    std::lock_guard lock(mutex_);
    return {
        {"stagedBytes", intake_ ? intake_->stagedBytes() : 0},
        {"backlogBytes", (streams_ ? streams_->bytesQueued() : 0) + (intake_ ? intake_->waitingBytes() : 0)},
        {"wireBytes", streams_ ? streams_->bytesReceived() + streams_->bytesSent() : 0}};
}

Intake &DestinationSession::waitBegun() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kBeginTime, [this] { return intake_ || aborted_; }))
        throw Error("timeout", "the peer is connected, but the migration was not begun");
    if (aborted_)
        throw Error("aborted", "the migration was aborted");
    return *intake_;
}

void DestinationSession::work(std::chrono::milliseconds time) noexcept {
    try {
        auto connected = listener_->accept(wire::after(time));
        {
            std::lock_guard lock(mutex_);
            streams_ = std::move(connected);
            if (aborted_)
                streams_->abort("aborted");
        }
        events_.emit("connected", Json::object());
        waitBegun().run(*streams_);
        std::lock_guard lock(mutex_);
        done_ = true;
    } catch (const Error &error) {
        fail(error);
    } catch (const std::exception &error) {
        fail(Error("internal", error.what()));
    }
}

/// From the worker or from the overlay's thread; the first failure is the one that counts.
void DestinationSession::fail(const Error &error) noexcept {
    wire::Channel *channel;
    {
        std::lock_guard lock(mutex_);
        if (aborted_ || failed_)
            return;
        failed_ = true;
        channel = done_ || !streams_ ? nullptr : streams_->main.get();
    }
    std::fprintf(stderr, "failed: %s: %s\n", error.code().c_str(), error.what());
    if (error.code() == "peer-lost")
        return events_.emit("peer-lost", {{"message", error.what()}});
    events_.emit("error", {{"code", error.code()}, {"message", error.what()}, {"remedy", error.remedy()}});
    if (channel)
        tellPeer(*channel, error);
}

void DestinationSession::abort() noexcept {
    std::lock_guard lock(mutex_);
    if (aborted_)
        return;
    aborted_ = true;
    if (listener_)
        listener_->cancel();
    if (streams_)
        streams_->abort("the destination gave up");
    if (intake_)
        intake_->abort();
    changed_.notify_all();
}

} // namespace

std::unique_ptr<Session> makeDestinationSession(Events &events) {
    return std::make_unique<DestinationSession>(events);
}

} // namespace pclive
