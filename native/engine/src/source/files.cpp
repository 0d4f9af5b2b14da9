// SPDX-License-Identifier: Apache-2.0
#include "source/files.hpp"
#include "wire/send.hpp"
#include <filesystem>
#include <set>

namespace pclive {

FileTotals sendDirectory(wire::Channel &channel, const std::string &dir) {
    namespace fs = std::filesystem;
    std::set<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error))
        if (at->symlink_status(error).type() == fs::file_type::regular)
            names.insert(at->path().filename().string());
    if (error)
        throw systemError("file", "read the directory " + dir, error.value());
    FileTotals totals;
    for (const auto &name : names) {
        totals.bytes += wire::sendFile(channel, name, dir + "/" + name);
        totals.files++;
    }
    return totals;
}

} // namespace pclive
