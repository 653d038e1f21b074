// SPDX-License-Identifier: Apache-2.0
//
// Pictures that are damaged, no pictures, tiny or enormous, through `llava run` and `llava image`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "made_pictures.h"
#include "program.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

const fs::path kPictures = source_folder() / "tests/data/image/pictures";

class BadPicture : public TemporaryFolder {
 protected:
  static ProcessResult run(const std::string& picture) {
    return run_llava(ask_golden("llava-v1.5-pad", picture, "What?"));
  }

  static ProcessResult show(const std::string& picture) {
    return run_llava({"image", picture, "--model-path", golden_model("llava-v1.5-pad"), "--json"});
  }

  // Both commands say the same.
  static std::string refusal(const fs::path& picture, const std::string& code = "bad_format") {
    const std::string message = error_of(run(picture.string()), 3, code);
    EXPECT_EQ(error_of(show(picture.string()), 3, code), message);
    EXPECT_THAT(message, HasSubstr(fmt::format("'{}'", picture.string())));
    return message;
  }
};

TEST_F(BadPicture, TruncatedFilesOfEveryFormat) {
  for (const char* name : {"exif1.jpg", "type2_depth8.png", "type2_depth8_interlaced.png",
                           "lossy.webp", "animated_alpha.webp", "offset.gif", "8_grey.bmp",
                           "rle8.bmp", "big.tif", "rgb_lzw.tif", "jpeg.tif", "planar_strips.tif"}) {
    const std::string whole = read_text(kPictures / name);
    EXPECT_EQ(show((kPictures / name).string()).status, 0) << name;
    for (const std::size_t tenths : {1, 5, 9}) {
      SCOPED_TRACE(std::string(name) + ", tenths: " + std::to_string(tenths));
      const std::size_t size = whole.size() * tenths / 10;
      EXPECT_THAT(refusal(write(name, std::string_view(whole).substr(0, size))),
                  AllOf(HasSubstr("damaged or truncated"),
                        HasSubstr(std::to_string(size) + " bytes"), HasSubstr("again")));
    }
  }
}

TEST_F(BadPicture, WhatIsNoPictureFile) {
  EXPECT_THAT(refusal(write("empty.png", "")), HasSubstr("empty"));
  EXPECT_THAT(
      refusal(write("text.jpg", "hello, this is text")),
      AllOf(HasSubstr("68 65 6c 6c"), HasSubstr("expected JPEG, PNG"), HasSubstr("convert")));
  EXPECT_THAT(refusal(folder_), HasSubstr("is a directory, expected a file"));
  EXPECT_THAT(refusal(folder_ / "nowhere.png", "not_found"), HasSubstr("cannot open"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("not a regular file"));
  // The file behind the name is what counts.
  EXPECT_EQ(run(write("really_a_png.jpg", png(1, 1)).string()).status, 0);
}

TEST_F(BadPicture, OneOfSeveralIsNamed) {
  const std::string bad = write("bad.png", png(1, 1).substr(0, 40)).string();
  const std::string message =
      error_of(run(golden_image("square_28x28.png") + "," + bad), 3, "bad_format");
  EXPECT_THAT(message, HasSubstr(fmt::format("'{}'", bad)));
}

TEST_F(BadPicture, OnePixelIsEnough) {
  const std::string one = write("one.png", png(1, 1)).string();
  EXPECT_EQ(json_of(run(one)).at("usage").at("image_tokens"), 4 * 4 * 1);
  for (const char* model : {"hf-llava", "llava-v1.6-unpad", "hf-next-mistral"}) {
    SCOPED_TRACE(model);
    const Json facts =
        json_of(run_llava({"image", one, "--model-path", golden_model(model), "--json"}));
    EXPECT_EQ(facts.at("width"), 1);
    EXPECT_EQ(facts.at("height"), 1);
    EXPECT_GT(facts.at("num_tokens"), 0);
    EXPECT_EQ(json_of(run_llava(ask_golden(model, one, "What?"))).at("usage").at("image_tokens"),
              facts.at("num_tokens"));
  }
}

TEST_F(BadPicture, EnormousClaimsAreRefusedBeforeDecoding) {
  struct Case {
    const char* name;
    std::string bytes;
    const char* size;
  };
  const ProcessResult usual = run(write("one.png", png(1, 1)).string());
  EXPECT_EQ(usual.status, 0);
  const int64_t allowed = usual.peak_bytes + (int64_t{32} << 20);
  for (const Case& c : {Case{"square.png", png(30000, 30000), "30000x30000"},
                        Case{"most.png", png(0x7FFFFFFF, 0x7FFFFFFF), "2147483647x2147483647"},
                        Case{"wide.png", png(178956971, 1), "178956971x1"},
                        Case{"square.gif", gif(30000), "30000x30000"},
                        Case{"square.bmp", bmp(30000), "30000x30000"},
                        Case{"square.jpg", jpeg(30000), "30000x30000"}}) {
    SCOPED_TRACE(c.name);
    const fs::path file = write(c.name, c.bytes);
    EXPECT_THAT(refusal(file), AllOf(HasSubstr(c.size), HasSubstr("limit"), HasSubstr("resize")));
    EXPECT_LT(run(file.string()).peak_bytes, allowed);
    EXPECT_LT(show(file.string()).peak_bytes, allowed);
  }
}

// A long thin picture within the limits is scaled, padded and cropped like any other.
TEST_F(BadPicture, ThinPicturesWithinTheLimitsWork) {
  for (const char* model : {"llava-v1.5-pad", "llava-v1.6-unpad"}) {
    SCOPED_TRACE(model);
    EXPECT_EQ(run_llava(ask_golden(model, golden_image("thin_2x90.png"), "What?")).status, 0);
  }
}

}  // namespace
}  // namespace llava::testing
