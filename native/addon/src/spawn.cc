// Starts programs without copying this process's page tables first, as a fork of Node would, and keeps their
// output.
#include "common.h"
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <vector>

namespace pclive {
namespace {

class SpawnSettings {
  public:
    SpawnSettings() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    SpawnSettings(const SpawnSettings &) = delete;
    SpawnSettings &operator=(const SpawnSettings &) = delete;
    ~SpawnSettings() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }

    // A session of its own, and no signal ignored or blocked, whatever Node does with them.
    int detach() {
        sigset_t all, none;
        sigfillset(&all);
        sigemptyset(&none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setsigmask(&attributes, &none);
        return posix_spawnattr_setflags(&attributes,
                                        POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

class Strings {
  public:
    explicit Strings(const Napi::Array &array) {
        const uint32_t count = array.Length();
        texts_.reserve(count);
        for (uint32_t i = 0; i < count; i++)
            texts_.push_back(array.Get(i).As<Napi::String>().Utf8Value());
        for (std::string &text : texts_)
            pointers_.push_back(text.data());
        pointers_.push_back(nullptr);
    }
    char **get() { return pointers_.data(); }

  private:
    std::vector<std::string> texts_;
    std::vector<char *> pointers_;
};

// (file, argv, env, cwd or "", [stdin, stdout, stderr]) -> pid. A name without a slash is looked up in our
// own PATH.
Napi::Value spawn(const Napi::CallbackInfo &info) {
    const std::string file = stringArg(info, 0), cwd = stringArg(info, 3);
    Strings argv(info[1].As<Napi::Array>()), env(info[2].As<Napi::Array>());
    const auto stdio = info[4].As<Napi::Array>();
    SpawnSettings settings;
    int code = settings.detach();
    for (int fd = 0; fd < 3 && code == 0; fd++)
        code = posix_spawn_file_actions_adddup2(&settings.actions,
                                                stdio.Get(fd).As<Napi::Number>().Int32Value(), fd);
    if (code == 0 && !cwd.empty())
        code = posix_spawn_file_actions_addchdir_np(&settings.actions, cwd.c_str());
    pid_t pid = 0;
    if (code == 0)
        code =
            posix_spawnp(&pid, file.c_str(), &settings.actions, &settings.attributes, argv.get(), env.get());
    if (code != 0)
        throw systemError(info.Env(), code, "posix_spawn", file);
    return Napi::Number::New(info.Env(), pid);
}

// (name, limit) -> a file in memory that cannot grow beyond `limit` bytes; writing more fails with EPERM
Napi::Value memoryFile(const Napi::CallbackInfo &info) {
    const std::string name = stringArg(info, 0);
    Descriptor fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd.get() < 0)
        throw systemError(info.Env(), errno, "memfd_create");
    if (ftruncate(fd.get(), info[1].As<Napi::Number>().Int64Value()) != 0 ||
        fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0)
        throw systemError(info.Env(), errno, "ftruncate");
    return Napi::Number::New(info.Env(), fd.release());
}

// (fd) -> where the next byte would be written: those who have the descriptor from us share the position
Napi::Value position(const Napi::CallbackInfo &info) {
    const off_t offset = lseek(intArg(info, 0), 0, SEEK_CUR);
    if (offset < 0)
        throw systemError(info.Env(), errno, "lseek");
    return Napi::Number::New(info.Env(), static_cast<double>(offset));
}

} // namespace

void initSpawn(Napi::Env env, Napi::Object exports) {
    exports.Set("spawn", Napi::Function::New(env, spawn));
    exports.Set("memoryFile", Napi::Function::New(env, memoryFile));
    exports.Set("position", Napi::Function::New(env, position));
}

} // namespace pclive
