// SPDX-License-Identifier: Apache-2.0
//
// The library in one header: open a checkpoint, ask about pictures, get text as it comes.
//
//   const auto model = llava::load_pretrained_model({.model_path = "llava-v1.5-7b"});
//   const llava::Reply reply = model->ask({.query = "What is unusual about this image?",
//                                          .pictures = {llava::Picture::file("photo.jpg")}});
//   std::puts(reply.text.c_str());
//
// Errors are exceptions of type llava::Error (llava/core/error.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/error.h"

/// Folder of the bundled model in the installation that find_package(llava) found; defined by its
/// target llava::llava.
#ifndef LLAVA_MODELS_FOLDER
#define LLAVA_MODELS_FOLDER ""
#endif

namespace llava {

/// Which checkpoint to open, and where to run it. The names are those of `llava run`'s flags.
struct ModelOptions {
  /// A folder, a GGUF file, or a model of the hub by name that its cache holds ('llava pull'
  /// fetches one); empty: the bundled model.
  std::string model_path = {};
  std::string model_base = {};
  std::string model_name = {};
  std::string vision_tower = {};
  std::string device = "cpu";
  std::string backend = "auto";
  std::string dtype = "auto";
  bool load_8bit = false;  ///< wins over load_4bit
  bool load_4bit = false;
  int32_t threads = 0;
  /// Folder in which pictures' features and pinned prompts outlive the process; empty: none.
  std::string cache_dir = {};
  int32_t cache_size_mb = 4096;
  /// Tokens guessed ahead and verified, which changes no answer: from the text where it repeats
  /// itself, and from a smaller text model with the same tokenizer (folder or GGUF; empty: none).
  int32_t max_draft_tokens = 8;
  std::string draft_model = {};
  /// Reports bytes loaded of all bytes; may be empty.
  std::function<void(uint64_t done, uint64_t total)> on_progress = {};
};

/// A picture: a file, or the bytes of one.
struct Picture {
  std::string path;
  std::string bytes;

  static Picture file(std::string path) { return {.path = std::move(path), .bytes = {}}; }
  static Picture encoded(std::string bytes) { return {.path = {}, .bytes = std::move(bytes)}; }
};

/// One earlier round of a conversation.
struct Round {
  std::string query;
  std::string answer;
};

/// A question and how to answer it.
struct Question {
  std::string query = {};
  std::vector<Picture> pictures = {};
  /// Earlier rounds, oldest first. The pictures belong to the first one.
  std::vector<Round> history = {};
  std::string conv_mode = {};
  float temperature = 0.2f;
  std::optional<float> top_p = {};
  int32_t num_beams = 1;
  int32_t max_new_tokens = 512;
  std::vector<std::string> stop = {};
  std::optional<uint64_t> seed = {};
  /// Name under which the prompt, up to the end of its last picture, stays cached: later questions
  /// about the same pictures compute only what follows, after a restart too with a cache folder.
  std::string pin = {};
  /// Called on the asking thread with text as it becomes certain; may be empty.
  std::function<void(std::string_view text)> on_text = {};
  /// Ends the answer between two tokens when a stop is requested, from any thread.
  std::stop_token cancel = {};
};

/// An answer.
struct Reply {
  std::string text;
  std::string finish_reason;        ///< "stop", "stop_string", "length" or "cancelled"
  std::vector<int32_t> prompt_ids;  ///< -200 stands for each picture
  std::vector<int32_t> generated_ids;
  int32_t prompt_tokens = 0;  ///< pictures included
  int32_t image_tokens = 0;
  int32_t cached_tokens = 0;    ///< of the prompt, that were not computed again
  int32_t draft_tokens = 0;     ///< guessed ahead
  int32_t accepted_tokens = 0;  ///< of those, right
};

/// What a question pinned.
struct Pin {
  std::string name;
  int32_t num_tokens = 0;
};

/// An open checkpoint.
///
/// Threads: one question at a time; open a second model for a second thread.
class Model {
 public:
  virtual ~Model() = default;

  /// Answers a question.
  ///
  /// Throws: Error for pictures that cannot be read, questions that do not fit the context, and
  /// settings out of range.
  virtual Reply ask(const Question& question) = 0;

  /// Forgets what was pinned under a name, on disk too; whether there was such a pin.
  virtual bool unpin(const std::string& name) = 0;
  /// Everything that is pinned, by name.
  virtual std::vector<Pin> pins() = 0;

  virtual const std::string& name() const = 0;
};

/// Opens a checkpoint of any supported layout.
///
/// The bundled model is looked for in `models_folder`, in share/llava/models beside the program's
/// own folder, and in the user's cache.
///
/// Throws: Error naming the file, what was expected and what was found.
std::unique_ptr<Model> load_pretrained_model(const ModelOptions& options,
                                             std::string_view models_folder = LLAVA_MODELS_FOLDER);

/// Arguments of the original's `eval_model`.
struct EvalArguments {
  std::string model_path = {};
  std::string model_base = {};
  std::string model_name = {};
  std::string query = {};
  std::string conv_mode = {};
  std::string image_file = {};  ///< several with `sep` between them
  std::string sep = ",";
  float temperature = 0.2f;
  std::optional<float> top_p = {};
  int32_t num_beams = 1;
  int32_t max_new_tokens = 512;
};

/// Opens a checkpoint, asks one question, prints the answer on stdout and returns it: the
/// quick-start of the original.
std::string eval_model(const EvalArguments& arguments,
                       std::string_view models_folder = LLAVA_MODELS_FOLDER);

}  // namespace llava
