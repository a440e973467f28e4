//! Which topic a camera of a checkpoint comes on, told from names.

use std::collections::BTreeSet;

/// Words that many cameras have in their names.
const COMMON: [&str; 14] = [
    "camera",
    "cam",
    "image",
    "images",
    "img",
    "raw",
    "rect",
    "rgb",
    "color",
    "colour",
    "compressed",
    "observation",
    "video",
    "usb",
];
/// Words for one place, each a list. openpi's `base` is the camera that sees the whole scene.
const SAME_PLACE: [&[&str]; 2] = [
    &[
        "base",
        "top",
        "high",
        "overhead",
        "front",
        "exterior",
        "external",
        "scene",
        "agentview",
        "third",
    ],
    &["wrist", "hand", "eih", "gripper"],
];
/// Words that exclude each other.
const SIDES: [&str; 2] = ["left", "right"];
/// Words of images that are no pictures in colour.
const NO_COLOUR: [&str; 6] = ["depth", "infra1", "infra2", "ir", "disparity", "mask"];

/// For each of `cameras` (its names: of the checkpoint, and of the data where they differ) the index of the topic that is
/// closer to it by name than any other, and to which it is closer than any other camera.
pub fn matched(cameras: &[Vec<&str>], topics: &[&str]) -> Vec<Option<usize>> {
    let scores: Vec<Vec<u32>> = cameras
        .iter()
        .map(|names| topics.iter().map(|topic| similarity(names, topic)).collect())
        .collect();
    let is_best = |camera: usize, topic: usize| {
        let score = scores[camera][topic];
        let of_camera = (0..topics.len())
            .filter(|&other| other != topic)
            .map(|other| scores[camera][other]);
        let of_topic = (0..cameras.len())
            .filter(|&other| other != camera)
            .map(|other| scores[other][topic]);
        score > 0 && of_camera.chain(of_topic).all(|other| other < score)
    };
    let choice = |camera: usize| (0..topics.len()).find(|&topic| is_best(camera, topic));
    (0..cameras.len()).map(choice).collect()
}

/// Whether a topic's name is that of a depth or an infrared image.
pub fn is_no_colour(topic: &str) -> bool {
    let words = words(topic);
    NO_COLOUR.iter().any(|word| words.contains(*word))
}

/// How much of a camera's name is in a topic's: two for each word, one for another word of the same place.
fn similarity(names: &[&str], topic: &str) -> u32 {
    let topic = words(topic);
    names
        .iter()
        .map(|name| of_words(&words(name), &topic))
        .max()
        .unwrap_or(0)
}

fn of_words(camera: &BTreeSet<String>, topic: &BTreeSet<String>) -> u32 {
    let has = |words: &BTreeSet<String>, word: &str| words.contains(word);
    let [left, right] = SIDES;
    for (one, other) in [(left, right), (right, left)] {
        if has(camera, one) && has(topic, other) && !has(topic, one) {
            return 0;
        }
    }
    let same = camera.intersection(topic).count() as u32;
    let place = |words: &&&[&str]| {
        let of = |camera: &BTreeSet<String>| words.iter().any(|word| has(camera, word));
        of(camera) && of(topic) && words.iter().all(|word| !(has(camera, word) && has(topic, word)))
    };
    let same_place = SAME_PLACE.iter().filter(place).count() as u32;
    // A side alone is no camera: an arm's joint would do.
    let is_side_alone =
        same == 1 && same_place == 0 && camera.intersection(topic).all(|word| SIDES.contains(&&**word));
    match is_side_alone && camera.len() > 1 {
        true => 0,
        false => 2 * same + same_place,
    }
}

/// The words of a name that tell cameras apart. A number counts where nothing else does.
fn words(name: &str) -> BTreeSet<String> {
    let all = name.to_lowercase();
    let all = all.split(|character: char| !character.is_ascii_alphanumeric());
    let all = all
        .filter(|word| !word.is_empty() && !COMMON.contains(word))
        .map(str::to_owned);
    let all: BTreeSet<String> = all.collect();
    let is_number = |word: &String| word.chars().all(|character| character.is_ascii_digit());
    let texts: BTreeSet<String> = all.iter().filter(|word| !is_number(word)).cloned().collect();
    if texts.is_empty() { all } else { texts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(cameras: &[&str], topics: &[&str]) -> Vec<Option<usize>> {
        let cameras: Vec<Vec<&str>> = cameras.iter().map(|name| vec![*name]).collect();
        matched(&cameras, topics)
    }

    #[test]
    fn cameras_are_found_by_the_words_of_their_names() {
        for (cameras, topics, expected) in [
            (
                &["top"][..],
                &["/camera/wrist/image_raw", "/camera/top/image_raw"][..],
                vec![Some(1)],
            ),
            (
                &["cam_high", "cam_left_wrist", "cam_right_wrist"],
                &[
                    "/cam_left_wrist/camera/color/image_rect_raw",
                    "/cam_right_wrist/camera/color/image_rect_raw",
                    "/cam_high/camera/color/image_rect_raw",
                ],
                vec![Some(2), Some(0), Some(1)],
            ),
            (
                &["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"],
                &[
                    "/left/wrist/image_raw",
                    "/overhead/image_raw",
                    "/right/wrist/image_raw",
                ],
                vec![Some(1), Some(0), Some(2)],
            ),
            (
                &["cam_0", "cam_1"],
                &["/cam_1/image_raw", "/cam_0/image_raw"],
                vec![Some(1), Some(0)],
            ),
        ] {
            assert_eq!(matches(cameras, topics), expected, "{cameras:?}");
        }
    }

    #[test]
    fn a_camera_is_not_found_where_two_are_as_close() {
        let openpi = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"];
        assert_eq!(
            matches(&openpi, &["/scene/image_raw", "/wrist/image_raw"]),
            [Some(0), None, None]
        );
        assert_eq!(
            matches(&["front"], &["/front/left/image", "/front/right/image"]),
            [None]
        );
        assert_eq!(matches(&["left_wrist"], &["/left/front/image"]), [None]);
        assert_eq!(matches(&["laptop"], &["/phone/image"]), [None]);
    }

    #[test]
    fn the_data_s_name_of_a_camera_counts_too() {
        let cameras = [vec!["camera1", "top"], vec!["camera2", "wrist"]];
        assert_eq!(
            matched(&cameras, &["/wrist/image_raw", "/top/image_raw"]),
            [Some(1), Some(0)]
        );
    }

    #[test]
    fn depth_is_no_colour() {
        assert!(is_no_colour("/camera/aligned_depth_to_color/image_raw"));
        assert!(!is_no_colour("/camera/color/image_raw"));
    }
}
