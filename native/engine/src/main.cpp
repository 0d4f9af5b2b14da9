// SPDX-License-Identifier: Apache-2.0
// pclive-engine source|destination: moves memory for one migration, told by the shim over descriptor 3.
// pclive-engine measure: finds what a container writes, told likewise.
// pclive-engine checkpoint|restore: writes a container's memory into an image, or brings an image's memory
// into a restore, told likewise. pclive-engine archive: makes an image a stream on descriptor 4, and back.
// pclive-engine hold NETNS: keeps what is sent to the container in the meantime (hold/hold.hpp).
#include "control/loop.hpp"
#include "hold/hold.hpp"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr int kControlFd = 3;

struct Role {
    const char *name;
    std::unique_ptr<pclive::Session> (*make)(pclive::Events &);
};
constexpr Role kRoles[] = {
    {"source", pclive::makeSourceSession},         {"destination", pclive::makeDestinationSession},
    {"checkpoint", pclive::makeCheckpointSession}, {"restore", pclive::makeRestoreSession},
    {"archive", pclive::makeArchiveSession},       {"measure", pclive::makeMeasureSession}};

const Role *findRole(const char *name) {
    for (const auto &role : kRoles)
        if (!std::strcmp(role.name, name))
            return &role;
    return nullptr;
}

int usage() {
    std::fprintf(stderr,
                 "usage: pclive-engine source|destination|checkpoint|restore|archive|measure\n"
                 "       pclive-engine hold NETNS\n"
                 "Descriptor %d must be a stream socket to the shim; see docs/dev/interfaces.md.\n",
                 kControlFd);
    return 2;
}

} // namespace

int main(int argc, char **argv) {
    struct stat status {};
    if (argc == 3 && !std::strcmp(argv[1], "hold")) {
        try {
            return pclive::runHold(argv[2]);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "pclive-engine: %s\n", error.what());
            return 1;
        }
    }
    auto *role = argc == 2 ? findRole(argv[1]) : nullptr;
    if (!role || fstat(kControlFd, &status) || !S_ISSOCK(status.st_mode))
        return usage();
    std::signal(SIGPIPE, SIG_IGN);
    umask(077);
    try {
        pclive::ControlLoop loop(kControlFd);
        auto session = role->make(loop);
        loop.run(*session);
        session->abort();
        std::fflush(stderr);
        _exit(0); // requests may still be running; the kernel undoes the rest
    } catch (const std::exception &error) {
        std::fprintf(stderr, "pclive-engine: %s\n", error.what());
        _exit(1);
    }
}
