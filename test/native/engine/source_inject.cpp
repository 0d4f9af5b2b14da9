// SPDX-License-Identifier: Apache-2.0
// Injection: a userfaultfd is taken from processes in all kinds of situations, and none of them notices.
#include "control/error.hpp"
#include "proc/inject.hpp"
#include "source_lab.hpp"
#include "track/tracker.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

using namespace sourcetest;

namespace {

// What the targets do ---------------------------------------------------------

void ready() {
    std::puts("ready");
    std::fflush(stdout);
}

int report(bool good, const char *what) {
    std::printf("%s\n", good ? "good" : what);
    std::fflush(stdout);
    return good ? 0 : 1;
}

int blockInRead() {
    ready();
    char byte = 0;
    ssize_t got = read(0, &byte, 1);
    return report(got == 1 && byte == 'x', "read was disturbed");
}

/// A mapping that grows after it was looked at, both ways; afterwards its owner moves it as a whole.
int grow() {
    constexpr size_t kPart = 1 << 20;
    auto *room = static_cast<char *>(mmap(nullptr, 8 * kPart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(room, 8 * kPart);
    constexpr int kThere = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    char *middle = room + 3 * kPart;
    mmap(middle, kPart, PROT_READ | PROT_WRITE, kThere, -1, 0);
    ready();
    std::printf("%llx\n", reinterpret_cast<unsigned long long>(middle));
    std::fflush(stdout);
    char byte;
    if (read(0, &byte, 1) != 1 ||
        mmap(middle - kPart, kPart, PROT_READ | PROT_WRITE, kThere, -1, 0) == MAP_FAILED ||
        mremap(middle, kPart, 2 * kPart, 0) == MAP_FAILED)
        return report(false, "the mapping did not grow");
    std::memset(middle - kPart, 'x', 3 * kPart);
    ready();
    if (read(0, &byte, 1) != 1)
        return 1;
    auto *moved = static_cast<char *>(mremap(middle - kPart, 3 * kPart, 16 * kPart, MREMAP_MAYMOVE));
    return report(moved != MAP_FAILED && moved[0] == 'x' && moved[3 * kPart - 1] == 'x',
                  "the mapping is in pieces");
}

int blockInEpoll() {
    int set = epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(set, EPOLL_CTL_ADD, 0, &event);
    ready();
    int got;
    do // epoll_wait is one of the calls that a stop interrupts even without a signal: programs must expect
       // EINTR
        got = epoll_wait(set, &event, 1, 10000);
    while (got < 0 && errno == EINTR);
    return report(got == 1, "epoll_wait was disturbed");
}

int blockInSleep() {
    timespec begin{}, end{}, wanted{0, 600'000'000}, rest{};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    ready();
    int result = nanosleep(&wanted, &rest);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ms = static_cast<double>(end.tv_sec - begin.tv_sec) * 1e3 +
                static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e6;
    return report(result == 0 && ms > 599 && ms < 900, "nanosleep was disturbed");
}

int blockInFutex() {
    static std::atomic<int> word = 0;
    std::thread waker([] {
        char byte;
        if (read(0, &byte, 1) == 1)
            word = 1;
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    });
    ready();
    long result = 0;
    timespec limit{20, 0};
    if (word == 0)
        result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, nullptr, 0);
    int error = errno;
    waker.join();
    return report(result == 0 || error == EAGAIN, "futex was disturbed");
}

int blockInPoll() {
    ready();
    pollfd readable{0, POLLIN, 0};
    return report(poll(&readable, 1, 20000) == 1, "poll was disturbed");
}

/// Computes in registers only, so that any change of one shows; signals come all the while, SIGTRAP is
/// ignored.
std::atomic<int> alarms = 0;
int spin() {
    std::signal(SIGTRAP, SIG_IGN);
    std::signal(SIGALRM, [](int) { alarms++; });
    itimerval every{{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &every, nullptr);
    std::atomic<bool> end = false;
    bool good[3] = {true, true, true};
    auto work = [&](bool &fine) {
        while (!end) {
            uint64_t a = 1, b = 2, c = 3, d = 4;
            double f = 1;
            for (int i = 0; i < 100000; i++) {
                a += b ^ c, b = (b << 1) | (b >> 63), c += d, d ^= a;
                f = f * 1.0000001;
            }
            static const uint64_t expected = d;
            static const double expectedF = f;
            fine = fine && d == expected && f == expectedF;
        }
    };
    std::thread one([&] { work(good[0]); }), two([&] { work(good[1]); });
    std::thread ender([&] {
        char byte;
        while (read(0, &byte, 1) > 0)
            ;
        end = true;
    });
    ready();
    work(good[2]);
    one.join(), two.join(), ender.join();
    struct sigaction trap {};
    sigaction(SIGTRAP, nullptr, &trap);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    bool unblocked = !sigismember(&blocked, SIGALRM) && !sigismember(&blocked, SIGUSR1);
    bool noFds = fcntl(3, F_GETFD) < 0;
    return report(good[0] && good[1] && good[2] && trap.sa_handler == SIG_IGN && unblocked && alarms > 10 &&
                      noFds,
                  "registers, signals or descriptors were disturbed");
}

int killedByUserfaultfd() {
    sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog program{4, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 1;
    return blockInRead();
}

int zombieLeader() {
    std::thread([] { _exit(blockInRead()); }).detach();
    pthread_exit(nullptr);
}

int noDescriptors() {
    rlimit limit{3, 3};
    setrlimit(RLIMIT_NOFILE, &limit);
    return blockInRead();
}

int vforkParent() {
    ready();
    if (vfork() == 0) { // holds the parent in uninterruptible sleep
        char byte;
        [[maybe_unused]] auto got = read(0, &byte, 1);
        _exit(0);
    }
    return report(true, "");
}

int target(const std::string &mode) {
    const std::pair<const char *, int (*)()> modes[] = {
        {"read", blockInRead},    {"grow", grow},
        {"epoll", blockInEpoll},  {"sleep", blockInSleep},
        {"futex", blockInFutex},  {"poll", blockInPoll},
        {"spin", spin},           {"seccomp", killedByUserfaultfd},
        {"zombie", zombieLeader}, {"nofds", noDescriptors},
        {"vfork", vforkParent}};
    for (auto [name, run] : modes)
        if (mode == name)
            return run();
    return 2;
}

// The tests -------------------------------------------------------------------

double inject(const Target &target) {
    auto injection = injectUserfaultfd(target.pid(), 500ms);
    check(static_cast<bool>(injection.userfaultfd), "a descriptor came");
    return injection.stopMs;
}

template <class Body> std::string codeOf(Body body) {
    try {
        body();
    } catch (const Error &error) {
        return error.code();
    }
    return "none";
}

/// The target blocks in a call; after three injections the call still ends as it should.
void blocked(const std::string &mode) {
    Target target(mode);
    target.awaitState('S');
    for (int i = 0; i < 3; i++) {
        inject(target);
        std::this_thread::sleep_for(20ms);
    }
    if (mode != "sleep")
        target.say("x");
    check(target.line() == "good", mode + " was disturbed");
    check(target.finish() == 0, "it ends well");
}

void undisturbed(Target &target) {
    int status = target.finish();
    auto line = target.line();
    check(status == 0 && line == "good", "status " + std::to_string(status) + ", " + line);
}

void signalsAndRegisters() {
    Target target("spin");
    double longest = 0, sum = 0;
    for (int i = 0; i < 200; i++) {
        double ms = inject(target);
        longest = std::max(longest, ms);
        sum += ms;
    }
    undisturbed(target);
    std::printf("# stopped for %.2f ms on average, %.2f ms at most\n", sum / 200, longest);
}

void groupStopped() {
    Target target("read");
    kill(target.pid(), SIGSTOP);
    target.awaitState('T');
    inject(target);
    std::this_thread::sleep_for(50ms);
    target.awaitState('T');
    kill(target.pid(), SIGCONT);
    target.say("x");
    check(target.line() == "good", "it goes on after SIGCONT");
}

/// Killed at any moment, the engine leaves the target as it was.
void engineKilled() {
    Target target("spin");
    for (int i = 0; i < 60; i++) {
        pid_t engine = fork();
        if (engine == 0) {
            for (;;)
                codeOf([&] { inject(target); });
        }
        std::this_thread::sleep_for(std::chrono::microseconds(500 + i * 173));
        kill(engine, SIGKILL);
        waitpid(engine, nullptr, 0);
    }
    std::this_thread::sleep_for(100ms);
    undisturbed(target);
}

void traced() {
    Target target("read");
    check(ptrace(PTRACE_SEIZE, target.pid(), 0, 0) == 0, "trace it");
    check(codeOf([&] { inject(target); }) == "traced", "says that it is traced");
    ptrace(PTRACE_INTERRUPT, target.pid(), 0, 0);
    waitpid(target.pid(), nullptr, __WALL);
    ptrace(PTRACE_DETACH, target.pid(), 0, 0);
}

void unstoppable() {
    Target target("vfork");
    target.awaitState('D');
    auto begin = std::chrono::steady_clock::now();
    check(codeOf([&] { inject(target); }) == "attach-timeout", "says that it cannot be stopped");
    check(std::chrono::steady_clock::now() - begin < 1500ms, "within its time");
    check(target.finish() == 0, "it goes on");
}

void gone() {
    Target target("read");
    pid_t pid = target.pid();
    target.say("x");
    check(target.finish() == 0, "it ends");
    check(codeOf([&] { injectUserfaultfd(pid, 500ms); }) == "process-gone", "says that it has ended");
}

/// Its memory cannot be reached by the leader's pid, by us as little as by CRIU.
void leaderEnded() {
    Target target("zombie");
    target.awaitState('Z');
    check(codeOf([&] { inject(target); }) == "process-gone", "says that it has ended");
    target.say("x");
    check(target.line() == "good" && target.finish() == 0, "its other thread goes on");
}

void noRoom() {
    Target target("nofds");
    target.awaitState('S');
    check(codeOf([&] { inject(target); }) == "attach-failed", "says that the call failed");
    target.say("x");
    check(target.line() == "good" && target.finish() == 0, "it goes on");
}

void grownMeanwhile() {
    Target target("grow");
    uint64_t start = std::stoull(target.line(), nullptr, 16);
    const Ranges seen{{start, start + (1 << 20)}};
    target.say("x");
    target.line();
    auto tracker = makeUffdTracker(target.pid());
    tracker->prepare(seen);
    target.say("x");
    auto line = target.line();
    check(line == "good", line);
    check(target.finish() == 0, "it ends well");
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 3 && !std::strcmp(argv[1], "target"))
        _exit(target(argv[2])); // a sanitizer's work at exit would need descriptors
    std::string only = argc > 1 ? argv[1] : "";
    for (const char *mode : {"read", "epoll", "sleep", "futex", "poll", "seccomp"})
        test(std::string("inject while blocked: ") + mode, only, [&] { blocked(mode); });
    test("a process whose leader has ended", only, leaderEnded);
    test("inject under signals, registers intact", only, signalsAndRegisters);
    test("inject into a stopped process", only, groupStopped);
    test("engine killed during injection", only, engineKilled);
    test("a mapping that grew since it was looked at stays whole", only, grownMeanwhile);
    test("a traced process is refused", only, traced);
    test("an unstoppable process is given up in time", only, unstoppable);
    test("a process that has ended", only, gone);
    test("no descriptor left in the process", only, noRoom);
    return failures ? 1 : 0;
}
