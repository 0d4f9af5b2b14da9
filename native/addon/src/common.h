// What the addon's parts share: turning errno into JavaScript errors, and small owners of resources.
#pragma once
#include <cerrno>
#include <napi.h>
#include <unistd.h>
#include <utility>

namespace pclive {

// An Error as Node's own: message "CODE: text, syscall 'detail'", and the properties code, errno, syscall.
Napi::Error systemError(Napi::Env env, int code, const char *syscall, const std::string &detail = "");

// A descriptor that is closed at the end of its scope.
class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor &operator=(Descriptor &&other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    ~Descriptor() { reset(); }

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    void reset() {
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
    }

  private:
    int fd_ = -1;
};

// Arguments were checked in JavaScript; these only convert.
inline int intArg(const Napi::CallbackInfo &info, size_t index) {
    return info[index].As<Napi::Number>().Int32Value();
}
inline std::string stringArg(const Napi::CallbackInfo &info, size_t index) {
    return info[index].As<Napi::String>().Utf8Value();
}

void initAttributes(Napi::Env env, Napi::Object exports);
void initDigest(Napi::Env env, Napi::Object exports);
void initDescriptors(Napi::Env env, Napi::Object exports);
void initHeap(Napi::Env env, Napi::Object exports);
void initMapped(Napi::Env env, Napi::Object exports);
void initMounts(Napi::Env env, Napi::Object exports);
void initPoller(Napi::Env env, Napi::Object exports);
void initProcess(Napi::Env env, Napi::Object exports);
void initPump(Napi::Env env, Napi::Object exports);
void initReport(Napi::Env env, Napi::Object exports);
void initSocket(Napi::Env env, Napi::Object exports);
void initSpawn(Napi::Env env, Napi::Object exports);

} // namespace pclive
