// SPDX-License-Identifier: Apache-2.0
// A destination for the source's tests: the real connection and the real books, and a store that keeps pages
// in a map.
#pragma once

#include "dest/ledger.hpp"
#include "source_check.hpp"
#include "testing.hpp"
#include "wire/listener.hpp"
#include "wire/send.hpp"

#include <map>
#include <thread>
#include <unordered_map>

namespace sourcetest {

using namespace pclive;

class MapStore final : public dest::Store {
  public:
    using Page = std::array<uint8_t, wire::kPageSize>;
    using Memory = std::unordered_map<uint64_t, std::unique_ptr<Page>>;

    explicit MapStore(bool keep) : keep_(keep) {}
    Rest write(dest::Process &process, const wire::PageList &pages) override {
        if (!keep_)
            return {};
        auto &memory = memory_[process.vpid];
        const uint8_t *data = pages.data;
        for (const auto &run : pages.runs)
            for (uint64_t page = 0; page < run.pages; page++, data += wire::kPageSize) {
                auto &slot = memory[run.start + page * wire::kPageSize];
                if (!slot)
                    slot = std::make_unique<Page>();
                memcpy(slot->data(), data, wire::kPageSize);
            }
        return {};
    }
    void drop(dest::Process &process, std::span<const dest::Range> ranges) override {
        auto &memory = memory_[process.vpid];
        for (const auto &range : ranges)
            for (uint64_t at = range.start; at < range.end; at += wire::kPageSize)
                memory.erase(at);
    }
    void roundEnded(std::span<dest::Process *const>, uint32_t) override {}
    Memory &memory(uint32_t vpid) { return memory_[vpid]; }

  private:
    bool keep_;
    std::map<uint32_t, Memory> memory_;
};

/// Listens, and takes what comes on a thread of its own until FILES_ACK is sent or the connection ends.
class Peer {
  public:
    explicit Peer(bool keep)
        : store(keep), ledger(store), listener_("127.0.0.1", 0, testing::certificates().identity("b", "a")),
          thread_([this] { run(); }) {}
    ~Peer() {
        listener_.cancel();
        thread_.join();
    }
    [[nodiscard]] uint16_t port() const { return listener_.port(); }
    /// Why it gave up; empty while all is well.
    [[nodiscard]] std::string failure() {
        std::lock_guard lock(mutex_);
        return failure_;
    }

    MapStore store;
    dest::Ledger ledger;
    std::map<std::string, std::string> files; ///< by name; to be read after FILES_ACK

  private:
    void run() {
        try {
            auto channel = listener_.accept(wire::after(std::chrono::seconds(60))).main;
            while (serve(*channel, channel->receive(wire::after(std::chrono::minutes(5)))))
                ;
        } catch (const Error &error) {
            std::lock_guard lock(mutex_);
            failure_ = error.code() + ": " + error.what();
        }
    }

    bool serve(wire::Channel &channel, const wire::Frame &frame) {
        using wire::FrameType;
        if (dest::Ledger::concerns(frame.type)) {
            ledger.take(frame);
            if (frame.type == FrameType::roundEnd)
                channel.send(FrameType::roundAck,
                             wire::RoundAckFrame{ledger.rounds(), 0, ledger.stagedBytes(), 0});
            if (frame.type == FrameType::finalEnd)
                channel.send(FrameType::finalAck, wire::FinalAckFrame{ledger.stagedBytes()});
        } else if (frame.type == FrameType::file) {
            current_ = wire::decodeFile(frame).name;
            files[current_].clear();
        } else if (frame.type == FrameType::fileData) {
            files[current_].append(reinterpret_cast<const char *>(frame.bytes().data()),
                                   frame.bytes().size());
        } else if (frame.type == FrameType::go) {
            auto go = wire::decode<wire::GoFrame>(frame);
            channel.send(FrameType::filesAck, wire::FilesAckFrame{go.files, go.bytes});
            return false;
        }
        return true;
    }

    wire::Listener listener_;
    std::string current_;
    std::mutex mutex_;
    std::string failure_;
    std::thread thread_;
};

} // namespace sourcetest
