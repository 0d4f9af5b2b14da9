// SPDX-License-Identifier: Apache-2.0
// Gives restored processes their pages: at once those that they wait for, the others in the background.
//
// Every message of the kernel (a fault, a fork, a mapping that was moved or has gone) is answered by one
// thread; while one is unread, the kernel refuses to fill pages of that process, so no page is ever put where
// it does not belong any more.
#pragma once

#include "lazy/space.hpp"
#include "restore/mapped_chunk.hpp"
#include <atomic>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace pclive::lazy {

class Server {
  public:
    /// `files` must outlive this. `userfaultfd` is of CRIU's process. Errors: "no-lazy", "images".
    Server(const std::vector<restore::PagesFile> &files, Fd userfaultfd);
    /// All that is not filled yet stays empty for ever: the processes must have ended, or never run.
    ~Server();
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    /// Before start(). Errors: "no-lazy".
    void watch(uint64_t start, uint64_t end);
    void add(const Part &part);
    void start();
    /// Fills what is left, in this thread, and lets go of the processes. Returns the bytes that came so, or
    /// by a fault. Errors: "images", "lazy-memory": then nothing is let go of.
    uint64_t fill();

  private:
    void run() noexcept;
    void serve();
    std::vector<Space *> wait(bool soon);
    void read(Space &space);
    void handle(Space &space, const uffd_msg &message);
    Filled answer(Space &space, uint64_t page);
    void retry();
    Filled place(Space &space, const Part &part);
    std::optional<Filled> fillOne();

    struct Fault {
        Space *space;
        uint64_t page;
    };

    std::vector<std::unique_ptr<restore::MappedChunk>> files_; // null for an empty one
    Fd wake_;
    std::atomic<bool> stop_ = false;
    std::atomic<bool> urgent_ = false; ///< the other thread wants the lock
    std::mutex mutex_;                 // of all below
    std::list<Space> spaces_;          // never shrinks: faults refer to them
    std::vector<Fault> unanswered_;
    std::optional<Error> failure_;
    uint64_t bytes_ = 0;
    std::thread thread_;
};

} // namespace pclive::lazy
