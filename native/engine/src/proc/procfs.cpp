// SPDX-License-Identifier: Apache-2.0
#include "proc/procfs.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>

namespace pclive {
namespace {

/// Bytes read; 0 at the end.
size_t readSome(int fd, pid_t pid, char *into, size_t size) {
    for (;;) {
        ssize_t got = ::read(fd, into, size);
        if (got >= 0)
            return static_cast<size_t>(got);
        if (errno == ESRCH)
            throw ProcessGone(pid);
        if (errno != EINTR)
            throw systemError("proc", "read /proc/" + std::to_string(pid), errno);
    }
}

std::string readAll(int fd, pid_t pid) {
    std::string text;
    size_t used = 0;
    for (;;) {
        if (text.size() < used + (16u << 10))
            text.resize(std::max<size_t>(64u << 10, text.size() * 2));
        size_t got = readSome(fd, pid, text.data() + used, text.size() - used);
        if (got == 0)
            break;
        used += got;
    }
    text.resize(used);
    return text;
}

std::optional<ProcessStat> parseStat(pid_t pid, const char *name) {
    std::string text;
    try {
        text = readProc(pid, name);
    } catch (const ProcessGone &) {
        return std::nullopt;
    }
    // The command may hold anything, brackets too: what follows its last bracket is plain.
    auto at = text.rfind(')');
    ProcessStat stat;
    unsigned long long start = 0;
    if (at == std::string::npos ||
        std::sscanf(text.c_str() + at + 1,
                    " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                    &stat.state, &start) != 2)
        throw Error("proc", "/proc/" + std::to_string(pid) + "/" + name + " is not understood");
    stat.startTime = start;
    return stat;
}

} // namespace

std::string procPath(pid_t pid, const char *name) {
    return "/proc/" + std::to_string(pid) + "/" + name;
}

Fd openProc(pid_t pid, const char *name, int flags) {
    auto path = procPath(pid, name);
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    if (fd)
        return fd;
    if (errno == ENOENT || errno == ESRCH)
        throw ProcessGone(pid);
    throw systemError("proc", "open " + path, errno,
                      "run the shim with the capabilities SYS_PTRACE and SYS_ADMIN");
}

std::string readProc(pid_t pid, const char *name) {
    auto fd = openProc(pid, name, O_RDONLY);
    return readAll(fd.get(), pid);
}

void eachProcLine(pid_t pid, const char *name, const std::function<bool(std::string_view)> &visit) {
    auto fd = openProc(pid, name, O_RDONLY);
    std::string pending;
    std::array<char, 64u << 10> chunk;
    while (size_t got = readSome(fd.get(), pid, chunk.data(), chunk.size())) {
        pending.append(chunk.data(), got);
        size_t begin = 0;
        for (size_t end; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1)
            if (!visit(std::string_view(pending).substr(begin, end - begin)))
                return;
        pending.erase(0, begin);
    }
}

std::optional<ProcessStat> readStat(pid_t pid) {
    return parseStat(pid, "stat");
}

std::optional<ProcessStat> readThreadStat(pid_t pid, pid_t tid) {
    return parseStat(pid, ("task/" + std::to_string(tid) + "/stat").c_str());
}

bool threadEnded(pid_t pid, pid_t tid) {
    auto stat = readThreadStat(pid, tid);
    return !stat || stat->state == 'Z' || stat->state == 'X';
}

std::vector<pid_t> listThreads(pid_t pid) {
    std::vector<pid_t> threads;
    DIR *dir = ::opendir(procPath(pid, "task").c_str());
    if (!dir)
        throw ProcessGone(pid);
    while (const dirent *entry = ::readdir(dir))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            threads.push_back(static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10)));
    ::closedir(dir);
    std::stable_partition(threads.begin(), threads.end(), [pid](pid_t tid) { return tid == pid; });
    return threads;
}

std::string statusField(pid_t pid, const std::string &name) {
    auto text = "\n" + readProc(pid, "status");
    auto key = "\n" + name + ":";
    auto at = text.find(key);
    if (at == std::string::npos)
        return {};
    auto first = text.find_first_not_of(" \t", at + key.size());
    auto last = text.find('\n', at + 1);
    return first == std::string::npos || first >= last ? std::string() : text.substr(first, last - first);
}

} // namespace pclive
