// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/image/decode.h"
#include "llava/train_report/picture_uri.h"
#include "support/temporary_folder.h"

namespace llava::train_report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHostile = "</td><script>alert(1)</script><img src=http://x>\"'";

class Page : public llava::testing::TemporaryFolder {
 protected:
  std::string page(const PageOptions& options = {}) const {
    return make_page(read_run_folder(folder_), options);
  }
  void write_json(const std::string& name, const Json& json) const {
    write(name, to_text(json) + "\n");
  }
};

TEST_F(Page, SaysWhatTheRunWas) {
  write("train_log.jsonl",
        "{\"step\": 1, \"loss\": 2, \"tokens\": 1000, \"label_tokens\": 250, \"seconds\": 4}\n");
  write_json("training_args.json", {{"model-name-or-path", "base"},
                                    {"vision-tower", "clip"},
                                    {"lora-enable", true},
                                    {"lora-r", 8},
                                    {"lora-alpha", 16.0},
                                    {"max-steps", 4},
                                    {"learning-rate", 0.5}});
  const std::string html = page();
  for (const char* part :
       {"not finished: 1 of 4 steps (25.0 %)", "adapters of rank 8 (alpha 16), projector",
        "250 (25.0 % of them trained)", "<b>Loss</b>"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_THAT(html, Not(HasSubstr("Sample predictions")));
}

TEST_F(Page, FlagsOtherThanTheDefaultsComeFirst) {
  write("train_log.jsonl", "");
  write_json("training_args.json", {{"a", 1}, {"b", 2.5}, {"c", "x"}, {"old", nullptr}});
  const std::string html =
      page({.flags = {{"a", 1}, {"b", 2.0}, {"c", ""}, {"unused", 7}}, .max_samples = 1});
  const std::size_t changed = html.find("Other than the defaults");
  const std::size_t plain = html.find("<h3>Defaults</h3>");
  const auto at = [&](const char* flag) { return html.find(std::string("<code>--") + flag); };
  for (const char* flag : {"b<", "c<", "old<"}) {
    EXPECT_GT(at(flag), changed) << flag;
    EXPECT_LT(at(flag), plain) << flag;
  }
  EXPECT_GT(at("a<"), plain);
  EXPECT_EQ(at("unused<"), std::string::npos);
  EXPECT_THAT(html, HasSubstr("not a flag of this version"));
}

TEST_F(Page, EverythingFromFilesIsEscaped) {
  const Json hostile = kHostile;
  write("train_log.jsonl", std::string("{\"step\": 1, \"loss\": 1}\nnot json ") + kHostile + "\n");
  write_json("training_args.json", {{kHostile, hostile}, {"model-name-or-path", hostile}});
  write_json("config.json", {{"model_type", hostile}});
  write_json("data_check.json",
             {{"samples", 1},
              {"lengths", {{"unit", hostile}, {"bar_width", 1}, {"bars", {1, 2}}}},
              {"traps", {{kHostile, {{"count", 1}, {"is_error", true}}}}},
              {"findings", {{{"trap", hostile}, {"message", hostile}}}}});
  write_json("predictions.jsonl", {{"step", 1},
                                   {"sample", hostile},
                                   {"image", hostile},
                                   {"prompt", hostile},
                                   {"reference", hostile},
                                   {"answer", hostile}});
  write("a<script>.bin", "x");
  const std::string html = page();
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<img src=http")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
}

TEST_F(Page, PicturesAreInside) {
  image::RgbImage large({600, 300});
  large.pixels[0] = 255;
  write("large.png", image::encode_png(large));
  write("photos/small.png", image::encode_png(image::RgbImage({5, 7})));
  write("broken.png", "no picture");
  write("run/train_log.jsonl", "");
  write_json("run/training_args.json", {{"image-folder", (folder_ / "photos").string()}});
  std::string lines;
  for (const auto& image : {(folder_ / "large.png").string(), std::string("small.png"),
                            std::string("gone.png"), std::string("../broken.png")}) {
    lines += to_text(Json{
                 {"step", 1}, {"sample", 1}, {"image", image}, {"prompt", "p"}, {"answer", "a"}}) +
             "\n";
  }
  write("run/predictions.jsonl", lines);
  const RunFolder run = read_run_folder(folder_ / "run");
  const std::string html = make_page(run, {});
  EXPECT_THAT(html, HasSubstr("width=\"256\" height=\"128\""));
  EXPECT_THAT(html, HasSubstr("width=\"5\" height=\"7\""));
  EXPECT_THAT(html, HasSubstr("The picture gone.png is gone"));
  EXPECT_THAT(html, HasSubstr("The picture ../broken.png cannot be shown"));
  EXPECT_THAT(make_page(run, {.max_samples = 1}), HasSubstr("3 more questions are not shown"));
}

TEST_F(Page, ThinPicturesKeepAPixel) {
  const auto file = write("thin.png", image::encode_png(image::RgbImage({2000, 2})));
  const EmbeddedPicture picture = embed_picture(file);
  EXPECT_EQ(picture.width, 256);
  EXPECT_EQ(picture.height, 1);
}

TEST_F(Page, AnEmptyRunGivesAPage) {
  write("train_log.jsonl", "");
  EXPECT_THAT(page(), HasSubstr("not finished; 0 steps"));
}

}  // namespace
}  // namespace llava::train_report
