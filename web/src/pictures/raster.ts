// SPDX-License-Identifier: Apache-2.0
//
// Pictures drawn anew by the browser: other sizes, and formats that only the browser reads.

function encode(canvas: HTMLCanvasElement, type: string): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the browser cannot write the picture'))), type, 0.92);
  });
}

/// Side of the square that the original's web server makes for the mode Resize.
const SQUARE_SIDE = 336;

function draw(source: CanvasImageSource, width: number, height: number, type: string): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d')!;
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, width, height);
  return encode(canvas, type);
}

/// The whole picture on a square of 336 pixels, its proportions lost.
export async function stretchToSquare(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  return draw(bitmap, SQUARE_SIDE, SQUARE_SIDE, 'image/png');
}

/// A picture whose longer side has at most that many pixels. Photographs are written as JPEG, all
/// else as PNG, which keeps edges and transparency.
export function shrink(bitmap: ImageBitmap, maxSide: number, isPhotograph: boolean): Promise<Blob> {
  const scale = Math.min(1, maxSide / Math.max(bitmap.width, bitmap.height));
  const side = (pixels: number) => Math.max(1, Math.round(pixels * scale));
  return draw(bitmap, side(bitmap.width), side(bitmap.height), isPhotograph ? 'image/jpeg' : 'image/png');
}

/// What a camera shows just now.
export function takeFrame(video: HTMLVideoElement): Promise<Blob> {
  return draw(video, video.videoWidth, video.videoHeight, 'image/jpeg');
}
