// Extended attributes of an open file.
#include "common.h"
#include <cerrno>
#include <string>
#include <sys/xattr.h>
#include <vector>

namespace pclive {
namespace {

// The kernel's own bounds of a list (XATTR_LIST_MAX).
constexpr size_t kMostBytes = 65536;

// Names, each with a NUL behind it. A file system without attributes has none.
std::vector<char> listed(Napi::Env env, int fd) {
    std::vector<char> names(kMostBytes);
    const ssize_t got = flistxattr(fd, names.data(), names.size());
    if (got < 0 && errno != ENOTSUP)
        throw systemError(env, errno, "flistxattr");
    names.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return names;
}

// (fd) -> whether it has any
Napi::Value hasAttributes(const Napi::CallbackInfo &info) {
    return Napi::Boolean::New(info.Env(), !listed(info.Env(), intArg(info, 0)).empty());
}

// (fd). Labels of a security module that may not be taken away stay: they are the host's, not the file's.
Napi::Value dropAttributes(const Napi::CallbackInfo &info) {
    const int fd = intArg(info, 0);
    const auto names = listed(info.Env(), fd);
    for (size_t at = 0; at < names.size();) {
        const std::string name(&names[at]);
        if (fremovexattr(fd, name.c_str()) != 0 && errno != ENODATA && errno != EACCES && errno != EPERM)
            throw systemError(info.Env(), errno, "fremovexattr");
        at += name.size() + 1;
    }
    return info.Env().Undefined();
}

} // namespace

void initAttributes(Napi::Env env, Napi::Object exports) {
    exports.Set("hasAttributes", Napi::Function::New(env, hasAttributes));
    exports.Set("dropAttributes", Napi::Function::New(env, dropAttributes));
}

} // namespace pclive
