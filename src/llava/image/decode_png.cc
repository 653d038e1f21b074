// SPDX-License-Identifier: Apache-2.0
//
// PNG through libpng, in the depths and with the quirks of Pillow: 16-bit grey is clipped to 8
// bits, 16-bit colour keeps its high bytes, and a transparent colour is compared as stored. libpng
// leaves on an error by longjmp: it only ever jumps over the trivial frames of the `run` steps
// below.
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

#include "llava/core/error.h"
#include "llava/image/decode.h"
#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const uint8_t* next = nullptr;
  size_t remaining = 0;
  char message[256] = {};
  int num_passes = 1;
  std::vector<uint8_t>* rows = nullptr;  ///< raw rows, all of them when interlaced
  size_t row_bytes = 0;
};

void on_fatal(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof state->message, "%s", message);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (count > state->remaining) png_error(png, "the data end early");
  std::memcpy(out, state->next, count);
  state->next += count;
  state->remaining -= count;
}

/// Owns libpng's structures for reading.
class PngReader {
 public:
  explicit PngReader(const PictureRequest& request) {
    state_.next = request.data();
    state_.remaining = request.size();
    state_.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state_, on_fatal, ignore_warning);
    state_.info = state_.png == nullptr ? nullptr : png_create_info_struct(state_.png);
    if (state_.info == nullptr) {
      png_destroy_read_struct(&state_.png, nullptr, nullptr);
      fail(ErrorCode::kResourceExhausted, "no memory to read '{}'", request.source);
    }
  }
  ~PngReader() { png_destroy_read_struct(&state_.png, &state_.info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  PngState& state() { return state_; }

 private:
  PngState state_;
};

/// Calls `step`; false when libpng left it with an error.
bool run(PngState& state, void (*step)(PngState&)) {
  if (setjmp(png_jmpbuf(state.png)) != 0) return false;
  step(state);
  return true;
}

void read_header(PngState& state) {
  png_set_read_fn(state.png, &state, read_bytes);
  png_set_user_limits(state.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(state.png, state.info);
}

/// One byte per sample, except grey of 16 bits, which keeps both.
void start(PngState& state) {
  const int depth = png_get_bit_depth(state.png, state.info);
  const int type = png_get_color_type(state.png, state.info);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    png_set_packing(state.png);
  } else if (type == PNG_COLOR_TYPE_GRAY && depth < 8) {
    png_set_expand_gray_1_2_4_to_8(state.png);
  } else if (type != PNG_COLOR_TYPE_GRAY && depth == 16) {
    png_set_strip_16(state.png);
  }
  state.num_passes = png_set_interlace_handling(state.png);
  png_read_update_info(state.png, state.info);
  state.row_bytes = png_get_rowbytes(state.png, state.info);
}

void read_one_row(PngState& state) { png_read_row(state.png, state.rows->data(), nullptr); }

void read_all_rows(PngState& state) {
  const png_uint_32 height = png_get_image_height(state.png, state.info);
  for (int pass = 0; pass < state.num_passes; ++pass) {
    for (png_uint_32 y = 0; y < height; ++y) {
      png_read_row(state.png, state.rows->data() + y * state.row_bytes, nullptr);
    }
  }
}

void read_end(PngState& state) { png_read_end(state.png, state.info); }

/// Turns raw rows into RGB, and alpha where the file has some.
class PngRowConverter {
 public:
  PngRowConverter(png_structp png, png_infop info, Picture& picture, bool needs_alpha)
      : picture_(picture),
        type_(png_get_color_type(png, info)),
        depth_(png_get_bit_depth(png, info)) {
    png_bytep alphas = nullptr;
    int num_alphas = 0;
    png_color_16p color = nullptr;
    const bool has_key = png_get_tRNS(png, info, &alphas, &num_alphas, &color) != 0;
    if (type_ == PNG_COLOR_TYPE_PALETTE) read_palette(png, info, alphas, num_alphas);
    has_color_key_ = has_key && type_ != PNG_COLOR_TYPE_PALETTE && color != nullptr;
    if (has_color_key_) read_color_key(*color);
    if (needs_alpha && (has_key || (type_ & PNG_COLOR_MASK_ALPHA) != 0)) {
      picture.alpha.assign(picture.image.pixels.size() / 3, 255);
    }
  }

  void convert(const uint8_t* raw, int32_t y) {
    uint8_t* out = picture_.image.row(y);
    const auto width = static_cast<size_t>(picture_.image.size.width);
    uint8_t* alpha =
        picture_.alpha.empty() ? nullptr : picture_.alpha.data() + static_cast<size_t>(y) * width;
    for (size_t x = 0; x < width; ++x, out += 3) {
      const uint8_t opacity = convert_pixel(raw, x, out);
      if (alpha != nullptr) alpha[x] = opacity;
    }
  }

 private:
  void read_palette(png_structp png, png_infop info, png_bytep alphas, int num_alphas) {
    png_colorp colors = nullptr;
    int num_colors = 0;
    png_get_PLTE(png, info, &colors, &num_colors);
    for (int i = 0; i < std::min(num_colors, 256); ++i) {
      palette_[static_cast<size_t>(i)] = {colors[i].red, colors[i].green, colors[i].blue};
    }
    opacities_.fill(255);
    for (int i = 0; alphas != nullptr && i < std::min(num_alphas, 256); ++i) {
      opacities_[static_cast<size_t>(i)] = alphas[i];
    }
  }

  /// Pillow compares the low bytes of the stored key with the 8-bit pixel, even where the pixel was
  /// widened from 2 or 4 bits or cut from 16.
  void read_color_key(const png_color_16& color) {
    const auto low = [](png_uint_16 value) { return static_cast<uint8_t>(value & 0xFF); };
    if (type_ == PNG_COLOR_TYPE_GRAY) {
      uint8_t grey = low(color.gray);
      if (depth_ == 1) grey = color.gray != 0 ? 255 : 0;
      color_key_ = {grey, grey, grey};
    } else {
      color_key_ = {low(color.red), low(color.green), low(color.blue)};
    }
  }

  /// Writes one RGB pixel; returns its alpha.
  uint8_t convert_pixel(const uint8_t* raw, size_t x, uint8_t* out) const {
    switch (type_) {
      case PNG_COLOR_TYPE_PALETTE: {
        const Rgb color = palette_[raw[x]];
        out[0] = color.red;
        out[1] = color.green;
        out[2] = color.blue;
        return opacities_[raw[x]];
      }
      case PNG_COLOR_TYPE_GRAY:
        out[0] = out[1] = out[2] =
            depth_ == 16 ? (raw[2 * x] == 0 ? raw[2 * x + 1] : uint8_t{255}) : raw[x];
        break;
      case PNG_COLOR_TYPE_GRAY_ALPHA:
        out[0] = out[1] = out[2] = raw[2 * x];
        return raw[2 * x + 1];
      case PNG_COLOR_TYPE_RGB:
        std::memcpy(out, raw + 3 * x, 3);
        break;
      default:
        std::memcpy(out, raw + 4 * x, 3);
        return raw[4 * x + 3];
    }
    return has_color_key_ && Rgb{out[0], out[1], out[2]} == color_key_ ? 0 : 255;
  }

  Picture& picture_;
  const int type_;
  const int depth_;
  std::array<Rgb, 256> palette_{};
  std::array<uint8_t, 256> opacities_{};
  bool has_color_key_ = false;
  Rgb color_key_;
};

ImageSize open_header(PngReader& reader, const PictureRequest& request) {
  PngState& state = reader.state();
  if (!run(state, read_header)) fail_damaged(request, "PNG", state.message);
  return checked_size(request, png_get_image_width(state.png, state.info),
                      png_get_image_height(state.png, state.info));
}

int orientation_of(PngState& state) {
#ifdef PNG_eXIf_SUPPORTED
  png_bytep block = nullptr;
  png_uint_32 length = 0;
  if (png_get_eXIf_1(state.png, state.info, &length, &block) != 0) {
    return exif_orientation({block, length});
  }
#endif
  return 1;
}

}  // namespace

ImageSize probe_png(const PictureRequest& request) {
  PngReader reader(request);
  return open_header(reader, request);
}

Picture decode_png(const PictureRequest& request) {
  PngReader reader(request);
  PngState& state = reader.state();
  Picture picture;
  const ImageSize size = open_header(reader, request);
  picture.image = RgbImage(size);
  PngRowConverter converter(state.png, state.info, picture, request.needs_alpha);
  if (!run(state, start)) fail_damaged(request, "PNG", state.message);

  const bool is_interlaced = state.num_passes > 1;
  std::vector<uint8_t> rows(state.row_bytes * (is_interlaced ? size.height : 1));
  state.rows = &rows;
  if (is_interlaced && !run(state, read_all_rows)) fail_damaged(request, "PNG", state.message);
  for (int32_t y = 0; y < size.height; ++y) {
    if (!is_interlaced && !run(state, read_one_row)) fail_damaged(request, "PNG", state.message);
    converter.convert(rows.data() + (is_interlaced ? y * state.row_bytes : 0), y);
  }
  if (!run(state, read_end)) fail_damaged(request, "PNG", state.message);
  picture.orientation = orientation_of(state);
  return picture;
}

std::string encode_png(const RgbImage& image) {
  png_image description{};
  description.version = PNG_IMAGE_VERSION;
  description.width = static_cast<png_uint_32>(image.size.width);
  description.height = static_cast<png_uint_32>(image.size.height);
  description.format = PNG_FORMAT_RGB;
  png_alloc_size_t num_bytes = 0;
  std::string file;
  bool is_done = image.size.width > 0 && image.size.height > 0 &&
                 png_image_write_get_memory_size(description, num_bytes, 0, image.pixels.data(), 0,
                                                 nullptr) != 0;
  if (is_done) {
    file.resize(num_bytes);
    is_done = png_image_write_to_memory(&description, file.data(), &num_bytes, 0,
                                        image.pixels.data(), 0, nullptr) != 0;
    file.resize(num_bytes);
  }
  if (!is_done) {
    fail(ErrorCode::kInvalidArgument, "a picture of {}x{} pixels cannot be written as PNG: {}",
         image.size.width, image.size.height, description.message);
  }
  return file;
}

}  // namespace llava::image
