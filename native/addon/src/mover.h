// Copies any number of streams in one thread, which is started with the first of them.
#pragma once
#include "stream.h"
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace pclive {

class Mover {
  public:
    using Id = uint64_t;
    // In the mover's thread, once for each stream, after its descriptors were closed.
    using Ended = std::function<void(Id, uint64_t bytes, int error)>;

    explicit Mover(Ended ended) : ended_(std::move(ended)) {}
    // Drops all streams without telling.
    ~Mover();

    // 0 or an errno, on which nothing was begun.
    int start();
    void add(Id id, std::unique_ptr<Stream> stream);
    // Without effect on one that has ended.
    void stop(Id id);

  private:
    struct Job {
        std::unique_ptr<Stream> stream;
        // Whether the epoll instance knows them already.
        bool inputKnown = false, outputKnown = false;
    };

    void wake();
    void run();
    void await();
    bool takeOrders();
    void advance(Id id, Job &job);
    void watch(Id id, int fd, bool &known, uint32_t events);
    void end(Id id);

    const Ended ended_;
    Descriptor epoll_, wakeup_;
    std::thread thread_;

    std::mutex mutex_;
    std::map<Id, std::unique_ptr<Stream>> added_;
    std::set<Id> stopped_;
    bool leaving_ = false;

    // Of the thread alone.
    std::map<Id, Job> jobs_;
    std::set<Id> ready_;
    std::vector<char> scratch_;
};

} // namespace pclive
