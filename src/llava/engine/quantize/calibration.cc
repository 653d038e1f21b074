// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/calibration.h"

#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/engine/answer.h"
#include "llava/engine/dialogue.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/prompt_images.h"
#include "llava/image/decode.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 256u << 20;

std::vector<std::string> read_lines(const fs::path& file) {
  const std::string content = read_file(file, kMaxFileBytes);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    if (end > begin) lines.push_back(content.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.empty()) {
    fail(ErrorCode::kInvalidArgument, "'{}' holds no samples, expected one a line", file.string());
  }
  return lines;
}

PreparedPrompt prompt_of(const Pretrained& pretrained, const std::string& line,
                         const fs::path& folder, const std::string& source) {
  if (!line.starts_with('{')) {
    return prepare_prompt(pretrained, tokenize_prompt(pretrained, line), {});
  }
  const Json json = parse_json(line, source);
  const JsonObject object(json, source);
  const auto text = object.get_string("text");
  if (!text) object.wrong_type("text", "a string");
  std::vector<PreparedImage> images;
  if (const auto image = object.get_string("image")) {
    images.push_back(prepare_image(pretrained, image::decode_file(folder / *image)));
  }
  Dialogue dialogue(pretrained, choose_conv_mode(pretrained, ""));
  dialogue.ask(*text, static_cast<int>(images.size()));
  return prepare_prompt(pretrained, tokenize_prompt(pretrained, dialogue.prompt()), images);
}

}  // namespace

InputMeanSquares calibrate(Context& ctx, const LoadRequest& request, const fs::path& file,
                           const ProgressCallback& on_progress) {
  const std::vector<std::string> lines = read_lines(file);
  const Pretrained pretrained = load_pretrained(ctx, request);
  ActivationRecorder recorder(ctx.backend, *pretrained.model);
  const auto engine = open_engine({Context{recorder, ctx.pool}}, pretrained, EngineOptions{},
                                  pretrained.context_length());
  AnswerOptions options;
  options.temperature = 0;
  options.max_new_tokens = 1;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string source = fmt::format("'{}', line {}", file.string(), i + 1);
    generate_answer(*engine, pretrained,
                    prompt_of(pretrained, lines[i], file.parent_path(), source), options, {});
    if (on_progress) on_progress(i + 1, lines.size());
  }
  return recorder.mean_squares();
}

}  // namespace llava::engine
