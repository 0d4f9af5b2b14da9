// SPDX-License-Identifier: Apache-2.0
#include "restore/shadow.hpp"

#include "dest/files.hpp"
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <unistd.h>

namespace pclive::restore {
namespace {

constexpr const char *kParent = "parent";

void link(int at, const std::string &target, const std::string &name) {
    if (symlinkat(target.c_str(), at, name.c_str()) && errno != EEXIST)
        throw systemError("files", "cannot link " + name + " of the image", errno);
}

void writePagemap(int at, const std::string &name, const StagedProcess &process) {
    image::Pagemap pagemap{process.pagesId, process.left};
    for (auto &entry : pagemap.entries)
        entry.flags = image::kInParent;
    std::string bytes = image::encodePagemap(pagemap);
    Fd fd(openat(at, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd)
        throw systemError("files", "cannot create " + name, errno);
    dest::writeFile(fd.get(), name, bytes.data(), bytes.size());
}

/// CRIU opens most files when it is in the container's root already, where an absolute link leads elsewhere.
std::string pathFrom(const std::string &shadow, const std::string &image) {
    std::error_code failed;
    auto from = std::filesystem::canonical(shadow, failed);
    auto to = failed ? from : std::filesystem::canonical(image, failed);
    if (failed)
        throw systemError("files", "cannot find the way from " + shadow + " to " + image, failed.value());
    return to.lexically_relative(from).string();
}

} // namespace

void writeShadow(const std::string &path, const ImageDirectory &image, const Plan &plan) {
    Fd shadow = dest::openDirectory(AT_FDCWD, path);
    std::set<std::string> ours{kParent};
    for (const auto &process : plan.processes) {
        std::string name = "pagemap-" + std::to_string(process.vpid) + ".img";
        writePagemap(shadow.get(), name, process);
        ours.insert(name);
    }
    std::string toImage = pathFrom(path, image.path());
    for (const auto &name : image.names())
        if (!ours.contains(name))
            link(shadow.get(), toImage + "/" + name, name);
    if (!plan.processes.empty() || image.hasParent())
        link(shadow.get(), toImage, kParent);
}

} // namespace pclive::restore
