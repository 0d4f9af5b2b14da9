// Mounts that need more than mount(2): loop devices, and owners shifted by a user namespace.
#include "common.h"
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace pclive {
namespace {

// Between asking for a free device and taking it somebody else may have been quicker.
constexpr int loopAttempts = 100;

// 0 or an errno
int configureLoop(int device, int file, const std::string &name, uint32_t flags) {
    loop_config config{};
    config.fd = static_cast<uint32_t>(file);
    config.info.lo_flags = flags;
    // For people only: losetup shows it.
    strncpy(reinterpret_cast<char *>(config.info.lo_file_name), name.c_str(), LO_NAME_SIZE - 1);
    return ioctl(device, LOOP_CONFIGURE, &config) == 0 ? 0 : errno;
}

// (file, readOnly, direct) -> {fd, path}: the device goes when the last user closes it
Napi::Value attachLoop(const Napi::CallbackInfo &info) {
    const std::string name = stringArg(info, 0);
    const bool readOnly = info[1].As<Napi::Boolean>().Value();
    const bool direct = info[2].As<Napi::Boolean>().Value();
    const int mode = (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    const uint32_t flags =
        LO_FLAGS_AUTOCLEAR | (readOnly ? LO_FLAGS_READ_ONLY : 0) | (direct ? LO_FLAGS_DIRECT_IO : 0);
    const Descriptor file(open(name.c_str(), mode));
    if (file.get() < 0)
        throw systemError(info.Env(), errno, "open", name);
    const Descriptor control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (control.get() < 0)
        throw systemError(info.Env(), errno, "open", "/dev/loop-control");
    for (int attempt = 0; attempt < loopAttempts; ++attempt) {
        const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0)
            throw systemError(info.Env(), errno, "ioctl", "/dev/loop-control");
        const std::string path = "/dev/loop" + std::to_string(number);
        Descriptor device(open(path.c_str(), mode));
        if (device.get() < 0)
            throw systemError(info.Env(), errno, "open", path);
        const int code = configureLoop(device.get(), file.get(), name, flags);
        if (code == 0) {
            Napi::Object result = Napi::Object::New(info.Env());
            result.Set("fd", device.release());
            result.Set("path", path);
            return result;
        }
        if (code != EBUSY)
            throw systemError(info.Env(), code, "ioctl", path);
    }
    throw systemError(info.Env(), EBUSY, "ioctl", "/dev/loop-control");
}

// A process that does nothing but hold a new user namespace. It has no exit signal, so nobody else hears of
// it.
class NamespaceHolder {
  public:
    NamespaceHolder() : pid_(static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWUSER, 0, 0, 0, 0))) {
        if (pid_ != 0)
            return;
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            pause();
    }
    NamespaceHolder(const NamespaceHolder &) = delete;
    ~NamespaceHolder() {
        if (pid_ <= 0)
            return;
        kill(pid_, SIGKILL);
        while (waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
        }
    }

    bool exists() const { return pid_ > 0; }
    std::string file(const char *name) const { return "/proc/" + std::to_string(pid_) + "/" + name; }

  private:
    pid_t pid_;
};

// 0 or an errno. The kernel wants it in one write.
int writeFile(const std::string &path, const std::string &text) {
    const Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file.get() < 0)
        return errno;
    return write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

// (uidMap, gidMap) -> descriptor of a user namespace with these
Napi::Value userNamespace(const Napi::CallbackInfo &info) {
    const NamespaceHolder holder;
    if (!holder.exists())
        throw systemError(info.Env(), errno, "clone", "a user namespace");
    if (const int code = writeFile(holder.file("uid_map"), stringArg(info, 0)); code != 0)
        throw systemError(info.Env(), code, "write", "uid_map");
    if (const int code = writeFile(holder.file("gid_map"), stringArg(info, 1)); code != 0)
        throw systemError(info.Env(), code, "write", "gid_map");
    const int fd = open(holder.file("ns/user").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        throw systemError(info.Env(), errno, "open", "ns/user");
    return Napi::Number::New(info.Env(), fd);
}

// (source, target, userNamespace, readOnly, recursive)
Napi::Value mountMapped(const Napi::CallbackInfo &info) {
    const std::string source = stringArg(info, 0);
    const std::string target = stringArg(info, 1);
    const unsigned depth = info[4].As<Napi::Boolean>().Value() ? AT_RECURSIVE : 0;
    const Descriptor tree(open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | depth));
    if (tree.get() < 0)
        throw systemError(info.Env(), errno, "open_tree", source);
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP | (info[3].As<Napi::Boolean>().Value() ? MOUNT_ATTR_RDONLY : 0);
    attributes.propagation = MS_PRIVATE;
    attributes.userns_fd = static_cast<uint64_t>(intArg(info, 2));
    if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | depth, &attributes, sizeof attributes) != 0)
        throw systemError(info.Env(), errno, "mount_setattr", source);
    if (move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
        throw systemError(info.Env(), errno, "move_mount", target);
    return info.Env().Undefined();
}

} // namespace

void initMapped(Napi::Env env, Napi::Object exports) {
    exports.Set("attachLoop", Napi::Function::New(env, attachLoop));
    exports.Set("userNamespace", Napi::Function::New(env, userNamespace));
    exports.Set("mountMapped", Napi::Function::New(env, mountMapped));
}

} // namespace pclive
