{
  "targets": [
    {
      "target_name": "pclive",
      "sources": ["src/addon.cc", "src/attributes.cc", "src/descriptors.cc", "src/digest.cc", "src/heap.cc", "src/mapped.cc", "src/mounts.cc", "src/payload.cc", "src/mover.cc", "src/poller.cc", "src/process.cc", "src/sha256.c", "src/pump.cc", "src/report.cc", "src/socket.cc", "src/spawn.cc", "src/stream.cc"],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
      "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden"]
    }
  ]
}
