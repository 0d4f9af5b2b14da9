// SPDX-License-Identifier: Apache-2.0
// The role `archive`: an image becomes a stream on descriptor 4, or a stream from there an image.
#include "archive/age.hpp"
#include "archive/tar.hpp"
#include "control/commands.hpp"
#include "source/progress.hpp"
#include "source/timing.hpp"
#include <mutex>
#include <optional>

namespace pclive {
namespace {

constexpr int kStreamFd = 4;

std::optional<archive::AgeKey> keyField(const Json &arguments) {
    auto text = stringField(arguments, "key", "");
    if (text.empty())
        return std::nullopt;
    archive::AgeKey key{};
    if (text.size() != 2 * key.size() || text.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw invalidField("key", "32 lower-case hex digits");
    for (size_t i = 0; i < key.size(); i++)
        key[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    return key;
}

class ArchiveSession final : public Session {
  public:
    explicit ArchiveSession(Events &events) : events_(events) {}

    Json handle(const std::string &command, const Json &arguments) override {
        static const Commands<ArchiveSession> kCommands{{"pack", &ArchiveSession::pack},
                                                        {"head", &ArchiveSession::head},
                                                        {"unpack", &ArchiveSession::unpack}};
        std::lock_guard lock(work_);
        return carryOut(*this, kCommands, command, arguments, [this] {
            if (progress_.stopped)
                throw Error("aborted", "the archive was given up");
        });
    }

    void abort() noexcept override { progress_.stopped = true; }

  private:
    Json pack(const Json &arguments) {
        archive::FdSink out(kStreamFd);
        std::optional<archive::AgeSink> sealed;
        if (auto key = keyField(arguments))
            sealed.emplace(out, stringField(arguments, "header"), *key);
        archive::ByteSink &sink = sealed ? static_cast<archive::ByteSink &>(*sealed) : out;
        return timed([&] {
            return archive::pack(stringField(arguments, "from"), boolField(arguments, "compress", false),
                                 boolField(arguments, "incremental", false), sink, progress_);
        });
    }

    Json head(const Json &) { return {{"header", archive::takeAgeHeader(in_)}}; }

    Json unpack(const Json &arguments) {
        std::optional<archive::AgeSource> opened;
        if (auto key = keyField(arguments))
            opened.emplace(in_, *key);
        archive::ByteSource &source = opened ? static_cast<archive::ByteSource &>(*opened) : in_;
        return timed([&] { return archive::unpack(source, stringField(arguments, "to"), progress_); });
    }

    template <class Work> Json timed(Work work) {
        Stopwatch watch;
        Ticker ticker([this] { events_.emit("progress", {{"writtenBytes", progress_.bytes.load()}}); });
        archive::Totals totals = work();
        return {{"files", totals.files}, {"bytes", totals.bytes}, {"ms", watch.ms()}};
    }

    Events &events_;
    std::mutex work_;
    archive::FdSource in_{kStreamFd};
    archive::Progress progress_;
};

} // namespace

std::unique_ptr<Session> makeArchiveSession(Events &events) {
    return std::make_unique<ArchiveSession>(events);
}

} // namespace pclive
