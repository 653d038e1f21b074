// SPDX-License-Identifier: Apache-2.0
//
// The program: finds the subcommand, runs it, and turns errors into messages and exit statuses.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>

#include "command.h"
#include "llava/core/config.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/core/version.h"
#include "torch_program.h"

namespace llava::app {
namespace {

constexpr std::array kCommands{
    Command{"run", "ask one question about pictures and print the answer", run_command},
    Command{"chat", "talk about a picture in the terminal", chat_command},
    Command{"batch", "ask about many pictures, JSON lines out, resumable", batch_command},
    Command{"serve", "answer over HTTP: OpenAI's API on this machine", serve_command},
    Command{"worker", "serve a model that controllers know: the original's model worker",
            worker_command},
    Command{"api", "answer over HTTP for all models that controllers know", api_command},
    Command{"gradio-web-server", "a web page for all models that controllers know",
            gradio_web_server_command},
    Command{"sglang-worker", "make an SGLang server a worker that controllers know",
            sglang_worker_command},
    Command{"controller", "know the workers and choose one for each request", controller_command},
    Command{"register-worker", "make a worker known to a controller by hand",
            register_worker_command},
    Command{"test-message", "ask one question through the original's protocol",
            test_message_command},
    Command{"pull", "fetch a model of the hub by name", pull_command},
    Command{"list", "the hub's models on this machine", list_command},
    Command{"rm", "remove a model of the hub from this machine", rm_command},
    Command{"train", "train the projector, the whole model or adapters", train_command},
    Command{"quantize", "write a checkpoint with fewer bits, as a folder that opens at once",
            quantize_command},
    Command{"merge-lora", "an adapter and its base as one checkpoint", merge_lora_command},
    Command{"extract-lora", "what training changed, as adapters of its base", extract_lora_command},
    Command{"extract-projector", "a checkpoint's projector as a file of its own",
            extract_projector_command},
    Command{"consolidate", "write a checkpoint again, whole and in one type", consolidate_command},
    Command{"make-delta", "what a model adds to its base, as weights to publish",
            make_delta_command},
    Command{"apply-delta", "a model from its base and published delta weights",
            apply_delta_command},
    Command{"inspect", "say what a checkpoint is and what it needs", inspect_command},
    Command{"parity", "prove that the numbers are those of the published software", parity_command},
    Command{"divergence", "how far a model is from another on given texts", divergence_command},
    Command{"tokenize", "text to token ids and back, JSON lines in and out", tokenize_command},
    Command{"image", "show how a picture becomes tokens", image_command},
    Command{"bench", "measure speed and memory on this machine", bench_command},
    Command{"data", "look after training data: check, scienceqa", data_command},
    Command{"info", "version, kernels, backends and processor", info_command},
};

void print_usage(std::FILE* stream) {
  fmt::print(stream,
             "llava {}: the Large Language and Vision Assistant\n\n"
             "Usage: llava COMMAND [FLAGS]    (llava COMMAND --help explains the flags)\n\n"
             "Commands:\n",
             kVersion);
  for (const Command& command : kCommands) {
    fmt::print(stream, "  {:<17} {}\n", command.name, command.summary);
  }
  fmt::print(stream,
             "\nOther flags: --version, --help\n\n"
             "Examples:\n"
             "  llava run --image-file picture.png --query \"what shape is in the image?\"\n"
             "  llava chat --image-file picture.png\n"
             "  llava run --model-path checkpoints/llava-v1.5-7b --image-file photo.jpg "
             "--query \"What is unusual about this image?\"\n");
}

int report(const Error& error, const Arguments& arguments) {
  // Known before the flags are parsed, because parsing them may be what failed.
  const bool is_json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  if (is_json) {
    OrderedJson body;
    body["error"]["code"] = error_code_name(error.code());
    body["error"]["message"] = error.what();
    fmt::print("{}\n", to_text(body));
  }
  fmt::print(stderr, "llava: error: {}\n", error.what());
  return exit_status(error.code());
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    print_usage(stderr);
    return 2;
  }
  const std::string& name = arguments.front();
  if (name == "--version" || name == "version") {
    fmt::print("llava {}\n", kVersion);
    return 0;
  }
  if (name == "--help" || name == "-h" || name == "help") {
    print_usage(stdout);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (name == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  std::vector<std::string> known;
  for (const Command& command : kCommands) known.emplace_back(command.name);
  const auto nearest = nearest_name(name, known);
  fail(ErrorCode::kInvalidArgument, "unknown command '{}'{}; llava --help lists the commands", name,
       nearest ? ", did you mean '" + *nearest + "'?" : "");
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int guarded_main(char** argv, int argc) {
  const Arguments arguments(argv + 1, argv + argc);
  try {
    if (const char* level = std::getenv("LLAVA_LOG"); level != nullptr && *level != '\0') {
      configure_log(level, false);
    }
    try {
      return dispatch(arguments);
    } catch (const TorchProgramNeeded&) {
      start_torch_program(argv);
    }
  } catch (const Error& error) {
    return report(error, arguments);
  } catch (const std::filesystem::filesystem_error& error) {
    // A place that cannot be looked at: a loop of links, a folder without permission.
    return report(Error(ErrorCode::kNotFound,
                        fmt::format("cannot use '{}': {}; check the path and its permissions",
                                    error.path1().string(), error.code().message())),
                  arguments);
  } catch (const std::bad_alloc&) {
    return report(Error(ErrorCode::kResourceExhausted, "out of memory"), arguments);
  } catch (const std::exception& error) {
    return report(Error(ErrorCode::kInternal, error.what()), arguments);
  }
}

}  // namespace llava::app

int main(int argc, char** argv) {
  const int status = llava::app::guarded_main(argv, argc);
  // A result that could not be written is a failure, not a success nobody saw.
  if (std::fflush(stdout) != 0 && status == 0) return 4;
  return status;
}
