// SPDX-License-Identifier: Apache-2.0
//
// JPEG through libjpeg-turbo with its default, exact settings: integer slow inverse DCT and fancy
// upsampling. libjpeg leaves on an error by longjmp: it only ever jumps over the trivial frames of
// the `run` steps below, never over a destructor.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>

#include <jerror.h>

#include <string>

#include "llava/core/thread_pool.h"
#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

/// A progressive file may have a scan per few coefficients; published encoders write about ten.
constexpr int kMaxScans = 500;

struct JpegDecoder;

struct ErrorManager {
  jpeg_error_mgr base;
  JpegDecoder* decoder;
};

struct ProgressMonitor {
  jpeg_progress_mgr base;
  JpegDecoder* decoder;
};

struct JpegDecoder {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  ProgressMonitor progress{};
  jpeg_source_mgr source{};
  std::jmp_buf on_error{};
  char message[JMSG_LENGTH_MAX] = {};
  bool ended = false;        ///< the decoder asked for bytes after the last
  JDIMENSION row_begin = 0;  ///< rows that are wanted
  JDIMENSION row_end = 0;

  JpegDecoder() = default;
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info); }

  [[noreturn]] void leave() { std::longjmp(on_error, 1); }
};

JpegDecoder& decoder_of(j_common_ptr info) {
  return *reinterpret_cast<ErrorManager*>(info->err)->decoder;
}

/// Whether a warning means that picture data is missing or wrong. The others tell of harmless
/// oddities that files in the wild have: bytes between segments, unknown versions, odd scripts.
bool is_about_lost_data(int code) {
  return code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC ||
         code == JWRN_JPEG_EOF || code == JWRN_ARITH_BAD_CODE;
}

void on_fatal(j_common_ptr info) {
  JpegDecoder& decoder = decoder_of(info);
  info->err->format_message(info, decoder.message);
  decoder.leave();
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  info->err->num_warnings++;
  if (is_about_lost_data(info->err->msg_code)) on_fatal(info);
}

void ignore_output(j_common_ptr) {}

void on_progress(j_common_ptr info) {
  JpegDecoder& decoder = decoder_of(info);
  if (info->is_decompressor && decoder.info.input_scan_number > kMaxScans) {
    std::snprintf(decoder.message, sizeof decoder.message, "more than %d scans", kMaxScans);
    decoder.leave();
  }
}

void ignore_source(j_decompress_ptr) {}

/// No bytes follow those given at first: suspends, which ends the decode as truncated.
boolean suspend(j_decompress_ptr info) {
  decoder_of(reinterpret_cast<j_common_ptr>(info)).ended = true;
  return FALSE;
}

void skip_bytes(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  const size_t skipped = std::min(static_cast<size_t>(count), info->src->bytes_in_buffer);
  info->src->next_input_byte += skipped;
  info->src->bytes_in_buffer -= skipped;
}

void open(JpegDecoder& decoder, const PictureRequest& request) {
  decoder.info.err = jpeg_std_error(&decoder.errors.base);
  decoder.errors.decoder = &decoder;
  decoder.errors.base.error_exit = on_fatal;
  decoder.errors.base.emit_message = on_message;
  decoder.errors.base.output_message = ignore_output;
  decoder.source.next_input_byte = request.data();
  decoder.source.bytes_in_buffer = request.size();
  decoder.source.init_source = ignore_source;
  decoder.source.fill_input_buffer = suspend;
  decoder.source.skip_input_data = skip_bytes;
  decoder.source.resync_to_restart = jpeg_resync_to_restart;
  decoder.source.term_source = ignore_source;
  decoder.progress.base.progress_monitor = on_progress;
  decoder.progress.decoder = &decoder;
}

/// Calls `step` and returns what it returns, or false after libjpeg left it with an error.
bool run(JpegDecoder& decoder, bool (*step)(JpegDecoder&, RgbImage*), RgbImage* image) {
  if (setjmp(decoder.on_error) != 0) return false;
  return step(decoder, image);
}

bool read_header(JpegDecoder& decoder, RgbImage*) {
  jpeg_create_decompress(&decoder.info);
  decoder.info.src = &decoder.source;
  decoder.info.progress = &decoder.progress.base;
  jpeg_save_markers(&decoder.info, JPEG_APP0 + 1, 0xFFFF);
  return jpeg_read_header(&decoder.info, TRUE) == JPEG_HEADER_OK;
}

bool start(JpegDecoder& decoder, RgbImage*) {
  switch (decoder.info.num_components) {
    case 1:
      decoder.info.out_color_space = JCS_GRAYSCALE;
      break;
    case 3:
      decoder.info.out_color_space = JCS_RGB;
      break;
    default:
      decoder.info.out_color_space = JCS_CMYK;
      break;
  }
  return jpeg_start_decompress(&decoder.info) == TRUE;
}

/// Reads the wanted rows of the output's components to the front of each row of `image`, where
/// `expand_grey` expects them.
bool read_rows(JpegDecoder& decoder, RgbImage* image) {
  if (decoder.row_begin > 0) jpeg_skip_scanlines(&decoder.info, decoder.row_begin);
  while (decoder.info.output_scanline < decoder.row_end) {
    JSAMPROW row = image->pixels.data() +
                   static_cast<size_t>(decoder.info.output_scanline) * image->row_bytes();
    if (jpeg_read_scanlines(&decoder.info, &row, 1) != 1) return false;
  }
  return true;
}

/// The same for four components, through a row of CMYK; files store inverted inks, as Adobe does.
bool read_cmyk_rows(JpegDecoder& decoder, RgbImage* image) {
  JSAMPARRAY buffer = (*decoder.info.mem->alloc_sarray)(
      reinterpret_cast<j_common_ptr>(&decoder.info), JPOOL_IMAGE, decoder.info.output_width * 4, 1);
  while (decoder.info.output_scanline < decoder.info.output_height) {
    uint8_t* out = image->pixels.data() +
                   static_cast<size_t>(decoder.info.output_scanline) * image->row_bytes();
    if (jpeg_read_scanlines(&decoder.info, buffer, 1) != 1) return false;
    const uint8_t* ink = buffer[0];
    for (JDIMENSION x = 0; x < decoder.info.output_width; ++x, ink += 4, out += 3) {
      const Rgb rgb =
          rgb_of_cmyk(static_cast<uint8_t>(255 - ink[0]), static_cast<uint8_t>(255 - ink[1]),
                      static_cast<uint8_t>(255 - ink[2]), static_cast<uint8_t>(255 - ink[3]));
      out[0] = rgb.red;
      out[1] = rgb.green;
      out[2] = rgb.blue;
    }
  }
  return true;
}

/// Spreads each row's grey bytes, which lie at its front, to three channels; right to left, since
/// the row is both source and target.
void expand_grey(RgbImage& image) {
  for (int32_t y = 0; y < image.size.height; ++y) {
    uint8_t* row = image.row(y);
    for (int32_t x = image.size.width - 1; x >= 0; --x) {
      const uint8_t grey = row[x];
      uint8_t* pixel = row + static_cast<size_t>(x) * 3;
      pixel[0] = pixel[1] = pixel[2] = grey;
    }
  }
}

[[noreturn]] void fail_jpeg(const JpegDecoder& decoder, const PictureRequest& request) {
  if (decoder.message[0] == 0 || decoder.ended) fail_damaged(request, "JPEG", "the data end early");
  fail_damaged(request, "JPEG", decoder.message);
}

ImageSize open_header(JpegDecoder& decoder, const PictureRequest& request) {
  open(decoder, request);
  if (!run(decoder, read_header, nullptr)) fail_jpeg(decoder, request);
  const int components = decoder.info.num_components;
  if (components != 1 && components != 3 && components != 4) {
    fail_unsupported(request, "JPEG",
                     std::to_string(components) + " components, expected 1, 3 or 4");
  }
  return checked_size(request, decoder.info.image_width, decoder.info.image_height);
}

/// Makes rows [begin, end); all of them if there are four components.
bool decode_rows(JpegDecoder& decoder, RgbImage& image, JDIMENSION begin, JDIMENSION end) {
  decoder.row_begin = begin;
  decoder.row_end = end;
  const bool is_cmyk = decoder.info.num_components == 4;
  return run(decoder, start, nullptr) && run(decoder, is_cmyk ? read_cmyk_rows : read_rows, &image);
}

/// Whether two decoders are faster than one: large pictures whose entropy-coded data are read as
/// the rows are made. Those of several scans are read to their end before the first row.
bool can_be_shared(JpegDecoder& decoder) {
  constexpr int64_t kMinPixels = 1'000'000;
  return int64_t{decoder.info.image_width} * decoder.info.image_height >= kMinPixels &&
         decoder.info.num_components != 4 && jpeg_has_multiple_scans(&decoder.info) == FALSE;
}

/// Two decoders make the upper and the lower rows at the same time. The second one must read the
/// codes of the upper rows, too, but makes no pixels of them. False if either stumbles: then one
/// decoder alone says what is wrong.
bool decode_together(const PictureRequest& request, RgbImage& image) {
  // Reading codes takes 0.6 of the time of a row: so both end together.
  const auto height = static_cast<JDIMENSION>(image.size.height);
  constexpr JDIMENSION kLargestUnit = 32;  // rows of a unit of codes, at most
  const JDIMENSION middle = height / 10 * 7 / kLargestUnit * kLargestUnit;
  std::array<bool, 2> is_done{};
  ThreadPool pool(2);
  pool.run(2, [&](int64_t half) {
    JpegDecoder decoder;
    open(decoder, request);
    is_done[static_cast<size_t>(half)] =
        run(decoder, read_header, nullptr) &&
        decode_rows(decoder, image, half == 0 ? 0 : middle, half == 0 ? middle : height) &&
        !decoder.ended;  // a decoder that skips rows does not say that their codes were missing
  });
  return is_done[0] && is_done[1];
}

/// By what the sides are divided so that the picture has no more than `most` pixels, if it can be.
unsigned int reduction_of(const ImageSize& size, int64_t most) {
  unsigned int reduction = 1;
  while (most > 0 && reduction < 8 &&
         int64_t{size.width} * size.height > most * reduction * reduction) {
    reduction *= 2;
  }
  return reduction;
}

int orientation_of(const JpegDecoder& decoder) {
  for (auto* marker = decoder.info.marker_list; marker != nullptr; marker = marker->next) {
    const std::span<const uint8_t> block(marker->data, marker->data_length);
    if (block.size() > 6 &&
        std::string_view(reinterpret_cast<const char*>(block.data()), 4) == "Exif") {
      return exif_orientation(block);
    }
  }
  return 1;
}

}  // namespace

ImageSize probe_jpeg(const PictureRequest& request) {
  JpegDecoder decoder;
  return open_header(decoder, request);
}

Picture decode_jpeg(const PictureRequest& request) {
  JpegDecoder decoder;
  Picture picture;
  ImageSize size = open_header(decoder, request);
  const unsigned int reduction = reduction_of(size, request.reduce_jpeg_above);
  const auto divide = [reduction](int32_t side) {
    return static_cast<int32_t>((static_cast<unsigned int>(side) + reduction - 1) / reduction);
  };
  size = {divide(size.width), divide(size.height)};
  decoder.info.scale_num = 1;
  decoder.info.scale_denom = reduction;
  picture.image = RgbImage(size);
  picture.orientation = orientation_of(decoder);
  if (request.num_threads < 2 || reduction > 1 || !can_be_shared(decoder) ||
      !decode_together(request, picture.image)) {
    if (!decode_rows(decoder, picture.image, 0, static_cast<JDIMENSION>(size.height))) {
      fail_jpeg(decoder, request);
    }
  }
  if (decoder.info.num_components == 1) expand_grey(picture.image);
  return picture;
}

}  // namespace llava::image
