// SPDX-License-Identifier: Apache-2.0
#include "llava/text/prompt.h"

#include "llava/core/error.h"
#include "llava/text/conversation.h"
#include "llava/text/multimodal_sequence.h"

namespace llava::text {
namespace {

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text,
                            const PromptOptions& options) {
  return options.has_guards ? tokenizer.encode_guarded(text, options.add_special)
                            : tokenizer.encode(text, options.add_special);
}

std::vector<int32_t> encode_first(const Tokenizer& tokenizer, std::string_view text,
                                  const PromptOptions& options) {
  std::vector<int32_t> ids = encode(tokenizer, text, options);
  if (options.has_single_begin && options.add_special && tokenizer.adds_bos() && ids.size() >= 2 &&
      ids[0] == tokenizer.bos_id() && ids[1] == ids[0]) {
    ids.erase(ids.begin());
  }
  return ids;
}

}  // namespace

std::vector<int32_t> tokenize_with_images(const Tokenizer& tokenizer, std::string_view prompt,
                                          const PromptOptions& options) {
  size_t end = prompt.find(kImageToken);
  std::vector<int32_t> ids = encode_first(tokenizer, prompt.substr(0, end), options);
  while (end != std::string_view::npos) {
    prompt.remove_prefix(end + kImageToken.size());
    end = prompt.find(kImageToken);
    const std::vector<int32_t> piece = encode(tokenizer, prompt.substr(0, end), options);
    const bool has_added_begin = options.add_special && tokenizer.adds_bos() && !piece.empty() &&
                                 piece.front() == tokenizer.bos_id();
    ids.push_back(kImageSentinel);
    ids.insert(ids.end(), piece.begin() + (has_added_begin ? 1 : 0), piece.end());
  }
  return ids;
}

std::vector<int32_t> tokenize_with_image_token(const Tokenizer& tokenizer, std::string_view prompt,
                                               std::string_view image_token,
                                               const PromptOptions& options) {
  const std::optional<int32_t> image_id = tokenizer.id_of(image_token);
  if (!image_id) {
    fail(ErrorCode::kInvalidArgument,
         "the tokenizer has no token '{}', which stands for a picture in this checkpoint's prompts",
         image_token);
  }
  std::vector<int32_t> ids = encode_first(tokenizer, prompt, options);
  int32_t num_found = 0;
  for (int32_t& id : ids) {
    if (id != *image_id) continue;
    id = kImageSentinel;
    ++num_found;
  }
  const int32_t num_written = count_image_tokens(prompt, image_token);
  if (num_found != num_written) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt has '{}' {} times but its ids have token {} {} times: the tokenizer does not "
         "treat it as an added token",
         image_token, num_written, *image_id, num_found);
  }
  return ids;
}

int32_t count_image_tokens(std::string_view prompt, std::string_view token) {
  int32_t count = 0;
  for (size_t at = prompt.find(token); at != std::string_view::npos && !token.empty();
       at = prompt.find(token, at + token.size())) {
    ++count;
  }
  return count;
}

}  // namespace llava::text
