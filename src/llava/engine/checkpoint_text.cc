// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_text.h"

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/core/log.h"
#include "llava/text/chat_template_source.h"
#include "llava/text/choose_template.h"
#include "llava/text/conversation.h"
#include "llava/text/gguf_vocabulary.h"
#include "llava/text/load_tokenizer.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;

// The file that a GGUF vocabulary is read from; nothing where the tokenizer has files of its own.
std::optional<fs::path> vocabulary_file(const fs::path& language_model) {
  if (!fs::is_directory(language_model)) return language_model;
  const fs::path file = language_model / checkpoint::kGgufTokenizerFile;
  return fs::exists(file) ? std::optional(file) : std::nullopt;
}

// The original opens LLaMA-class checkpoints with the slow tokenizer and Mistral's with the fast
// one.
text::TokenizerForm form_for(const CheckpointPlace& place) {
  const checkpoint::CheckpointDescription& description = place.description;
  if (description.layout == Layout::kHuggingFace) return text::TokenizerForm::kFast;
  if (description.tokenizer_form == "slow") return text::TokenizerForm::kSlow;
  if (description.tokenizer_form == "fast") return text::TokenizerForm::kFast;
  const bool has_sentencepiece = fs::exists(place.language_model() / "tokenizer.model");
  if (!has_sentencepiece) return text::TokenizerForm::kAutomatic;
  const bool is_own_mistral =
      place.base.empty() && description.config.decoder.family == model::DecoderFamily::kMistral;
  return is_own_mistral ? text::TokenizerForm::kFast : text::TokenizerForm::kSlow;
}

bool is_published_by_original(const checkpoint::CheckpointDescription& description) {
  return description.layout != Layout::kHuggingFace && description.layout != Layout::kLanguageModel;
}

void add_image_tokens(const checkpoint::CheckpointDescription& description,
                      text::Tokenizer& tokenizer) {
  if (!is_published_by_original(description) || !description.config.has_vision) return;
  if (description.use_im_patch_token) tokenizer.add_special_token("<im_patch>");
  if (description.use_im_start_end) {
    tokenizer.add_special_token("<im_start>");
    tokenizer.add_special_token("<im_end>");
  }
}

std::string default_conv_mode(const CheckpointPlace& place, bool has_chat_template) {
  const checkpoint::CheckpointDescription& description = place.description;
  if (!description.conv_mode.empty()) return description.conv_mode;
  const bool is_original = is_published_by_original(description);
  if (!is_original && has_chat_template) return {};
  const std::string mode =
      is_original ? text::template_for_program(place.name) : text::template_for_family(place.name);
  log_info("conv_mode_from_name", {{"name", place.name}, {"conv_mode", mode}});
  return mode;
}

}  // namespace

CheckpointText read_checkpoint_text(const CheckpointPlace& place) {
  CheckpointText result;
  const fs::path& source = place.language_model();
  const auto vocabulary = vocabulary_file(source);
  if (!vocabulary) {
    result.tokenizer = text::load_tokenizer(source, form_for(place));
    // The original's templates are its own; what lies in the tokenizer's files is not read.
    if (!is_published_by_original(place.description)) {
      result.chat_template = text::find_chat_template(source);
    }
  } else {
    auto data = checkpoint::read_gguf_vocabulary(*checkpoint::GgufFile::open(*vocabulary));
    if (!data.chat_template.empty()) {
      result.chat_template = text::ChatTemplate::parse(data.chat_template, vocabulary->string());
    }
    result.tokenizer =
        text::make_gguf_tokenizer(text::to_vocabulary(std::move(data), vocabulary->string()));
  }
  add_image_tokens(place.description, *result.tokenizer);
  result.conv_mode = default_conv_mode(place, result.chat_template.has_value());
  if (place.description.layout == Layout::kHuggingFace) {
    result.image_token_id = place.description.image_token_id;
  }
  return result;
}

std::vector<int32_t> tokenize_prompt(const text::Tokenizer& tokenizer,
                                     std::optional<int32_t> image_token_id,
                                     const std::string& prompt,
                                     const text::PromptOptions& options) {
  if (image_token_id && prompt.find(text::kImageToken) != std::string::npos) {
    check_image_token(tokenizer, *image_token_id);
    const std::string image_token = tokenizer.token_text(*image_token_id);
    return text::tokenize_with_image_token(tokenizer, prompt, image_token, options);
  }
  return text::tokenize_with_images(tokenizer, prompt, options);
}

void check_image_token(const text::Tokenizer& tokenizer, int32_t image_token_id) {
  if (!tokenizer.token_text(image_token_id).empty()) return;
  fail(ErrorCode::kBadFormat,
       "config.json: key 'image_token_index' is {}, but the tokenizer has no such token, only {}: "
       "the files are not of the same checkpoint",
       image_token_id, tokenizer.size());
}

std::string render_chat(const text::Tokenizer& tokenizer, const text::ChatTemplate& chat_template,
                        std::span<const text::ChatMessage> messages, bool begins_answer) {
  text::ChatTemplateOptions options;
  options.add_generation_prompt = begins_answer;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const std::string token = tokenizer.named_token(name);
    if (!token.empty()) options.special_tokens[name] = token;
  }
  return chat_template.render(messages, options);
}

CheckpointText open_checkpoint_text(const TextRequest& request) {
  const fs::path path = request.model_path;
  const bool is_bare_tokenizer =
      fs::is_regular_file(path) && (path.extension() == ".json" || path.extension() == ".model");
  if (is_bare_tokenizer) {
    CheckpointText result;
    result.tokenizer = text::load_tokenizer(path);
    return result;
  }
  const bool is_tokenizer_folder =
      fs::is_directory(path) && !fs::exists(path / "config.json") &&
      (fs::exists(path / "tokenizer.json") || fs::exists(path / "tokenizer.model"));
  if (is_tokenizer_folder) {
    CheckpointText result;
    result.tokenizer = text::load_tokenizer(path);
    return result;
  }
  return read_checkpoint_text(
      locate_checkpoint(request.model_path, request.model_base, request.model_name));
}

}  // namespace llava::engine
