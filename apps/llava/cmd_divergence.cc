// SPDX-License-Identifier: Apache-2.0
//
// `llava divergence`: how far a model is from another on the answers of a training file.
#include "command.h"
#include "command_line.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/data/conversation_file.h"
#include "llava/data/training_inputs.h"
#include "llava/engine/divergence.h"
#include "llava/text/supervision.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "divergence",
    .summary = "Measures how far a model's answers are from those of another, token by token.",
    .details =
        "For every token of the answers of a training file, which are text only, the two models'\n"
        "next-token distributions are compared: the Kullback-Leibler divergence from the\n"
        "reference in nats, and how often both name the same token. With the base's own answers\n"
        "it says how much of a language model's talk a training has changed.",
    .examples =
        "  llava divergence text.json --model-path my-llava-lora \\\n"
        "    --model-base SmolLM2-135M-Instruct.Q4_1.gguf \\\n"
        "    --reference SmolLM2-135M-Instruct.Q4_1.gguf --version qwen_1_5"};

struct DivergenceOptions {
  std::vector<std::string> files;
  std::string reference;
  std::string reference_base;
  std::string version = "v1";
  int64_t model_max_length = 2048;
  double at_most = 0;
  bool json = false;
  engine::LoadRequest load;
  RuntimeOptions runtime;

  template <class V>
  void describe(V& v) {
    v.positional("file", files, "texts: a JSON array or JSON lines as 'llava train' reads them");
    v.required("reference", reference, "the model to compare with, as --model-path");
    v.field("reference-base", reference_base, "its base, as --model-base");
    v.field("version", version, "conversation template of the texts");
    v.field("model-max-length", model_max_length, "most tokens of a text", at_least(int64_t{2}));
    v.field("at-most", at_most,
            "exit with status 5 when the mean divergence is above this; 0: never", at_least(0.0));
    v.field("json", json, "print one JSON object");
    load.describe(v);
    runtime.describe(v);
  }
};

// The rows that predict a trained token.
engine::ScoredText scored_text(const data::Sample& sample, int64_t max_length) {
  engine::ScoredText text;
  const std::size_t length = std::min(sample.ids.size(), static_cast<std::size_t>(max_length));
  text.ids.assign(sample.ids.begin(), sample.ids.begin() + static_cast<std::ptrdiff_t>(length));
  for (std::size_t i = 1; i < length; ++i) {
    if (sample.labels[i] != text::kIgnoreLabel) text.rows.push_back(static_cast<int32_t>(i) - 1);
  }
  return text;
}

}  // namespace

int divergence_command(const Arguments& arguments) {
  DivergenceOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (options.files.size() != 1) {
    fail(ErrorCode::kInvalidArgument,
         "llava divergence: {} files given, expected one; --help shows examples",
         options.files.size());
  }
  require_backend(options.runtime);
  const data::ConversationFile file = data::ConversationFile::open(options.files.front());
  Session session(options.runtime, options.load);
  Context ctx = session.runtime.context();
  engine::LoadRequest request = options.load;
  request.model_path = options.reference;
  request.model_base = options.reference_base;
  request.vision_tower.clear();
  const engine::Pretrained reference = engine::load_pretrained(ctx, request);
  const data::SampleMaker maker(
      *reference.tokenizer, data::open_sample_rules({.version = options.version,
                                                     .model_max_length = options.model_max_length},
                                                    reference.tokenizer.get()));
  engine::Divergence total;
  ProgressBar bar("texts");
  for (int64_t i = 0; i < file.size(); ++i) {
    const data::Record record = file.record(i);
    if (record.has_image_key) {
      fail(ErrorCode::kInvalidArgument, "{} has a picture: give texts alone", describe(record));
    }
    engine::add_divergence(ctx, *reference.model, *session.pretrained.model,
                           scored_text(maker.make_text(record), options.model_max_length), total);
    bar.update(static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(file.size()));
  }
  bar.clear();
  if (options.json) {
    OrderedJson json;
    json["texts"] = file.size();
    json["tokens"] = total.num_tokens;
    json["mean_kl"] = total.mean();
    json["same_token"] = total.same();
    fmt::print("{}\n", to_text(json));
  } else {
    fmt::print("{} tokens of {} texts: {:.4f} nats, the same most likely token {:.1f} %\n",
               total.num_tokens, file.size(), total.mean(), 100 * total.same());
  }
  const bool is_too_far = options.at_most > 0 && total.mean() > options.at_most;
  return is_too_far ? kExitCheckFailed : 0;
}

}  // namespace llava::app
