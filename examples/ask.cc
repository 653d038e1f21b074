// SPDX-License-Identifier: Apache-2.0
//
// Opens a checkpoint, asks about a picture, prints the answer as it comes; Enter stops it.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
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
        .model_path = argc > 3 ? argv[3] : "",  // empty: the bundled model
        .model_base = argc > 4 ? argv[4] : "",
    });
    std::stop_source cancel;
    const std::jthread keyboard([&cancel](std::stop_token finished) {
      pollfd input{STDIN_FILENO, POLLIN, 0};
      while (::isatty(STDIN_FILENO) == 1 && !finished.stop_requested()) {
        if (::poll(&input, 1, 100) > 0) return void(cancel.request_stop());
      }
    });
    const llava::Reply reply = model->ask({
        .query = argv[2],
        .pictures = {llava::Picture::file(argv[1])},
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
