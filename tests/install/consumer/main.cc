// SPDX-License-Identifier: Apache-2.0
//
// A project of somebody else's that uses the installed library: asks a checkpoint about a picture,
// prints the answer as it comes, and gives up after a minute.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <thread>

#include "llava/llava.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s PICTURE QUESTION [MODEL_PATH [MODEL_BASE]]\n", argv[0]);
    return 2;
  }
  try {
    const auto model = llava::load_pretrained_model({
        .model_path = argc > 3 ? argv[3] : "",
        .model_base = argc > 4 ? argv[4] : "",
    });

    std::stop_source cancel;
    const std::jthread timer([&cancel](std::stop_token finished) {
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any wake;
      wake.wait_for(lock, finished, std::chrono::minutes(1), [] { return false; });
      if (!finished.stop_requested()) cancel.request_stop();
    });

    const llava::Reply reply = model->ask({
        .query = argv[2],
        .pictures = {llava::Picture::file(argv[1])},
        .temperature = 0,
        .on_text = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); },
        .cancel = cancel.get_token(),
    });
    std::printf("\n");
    return reply.finish_reason == "cancelled" ? 1 : 0;
  } catch (const llava::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
