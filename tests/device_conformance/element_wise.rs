//! Norms, and operations that go value by value or row by row.

use pi0_node::device::{Activation, Device, HostTensor};

use crate::common::values::values;
use crate::tested::{Tested, wide};

pub fn norms_take_mean_and_scale_out_of_every_row<D: Device>(tested: Tested<D>) {
    let (rows, width, eps) = (9, 50, 1e-6);
    let x: Vec<f32> = values(rows * width, 8).iter().map(|x| 3.0 * x + 1.0).collect();
    let (weight, bias) = (values(width, 9), values(width, 10));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let square = |values: &[f64]| values.iter().map(|x| x * x).collect::<Vec<_>>();
    let layer_norm = x.chunks(width).flat_map(|row| {
        let row = wide(row);
        let centred: Vec<f64> = row.iter().map(|x| x - mean(&row)).collect();
        let scale = (mean(&square(&centred)) + eps).sqrt();
        let parameters = weight.iter().zip(&bias);
        let normed = centred.iter().zip(parameters);
        normed
            .map(|(x, (weight, bias))| x / scale * f64::from(*weight) + f64::from(*bias))
            .collect::<Vec<_>>()
    });
    let rms_norm = x.chunks(width).flat_map(|row| {
        let row = wide(row);
        let scale = (mean(&square(&row)) + eps).sqrt();
        let normed = row.iter().zip(&weight);
        normed
            .map(|(x, weight)| x / scale * f64::from(*weight))
            .collect::<Vec<_>>()
    });
    let (layer_norm, rms_norm): (Vec<f64>, Vec<f64>) = (layer_norm.collect(), rms_norm.collect());
    let shifts = wide(&bias);
    let device = &tested.device;
    let x = tested.upload(&x, &[rows, width]);
    let parameter = |values: &[f32]| {
        let host = HostTensor::from_f32(values, &[values.len()]);
        device.upload_parameter(&host).unwrap()
    };
    let (weight, bias) = (parameter(&weight), parameter(&bias));
    let y = device.layer_norm(&x, &weight, &bias, eps as f32);
    tested.expect("layer_norm", y, &[rows, width], &layer_norm);
    let y = device.rms_norm(&x, &weight, None, eps as f32);
    tested.expect("rms_norm", y, &[rows, width], &rms_norm);
    let shifted: Vec<f64> = rms_norm
        .iter()
        .zip(shifts.iter().cycle())
        .map(|(y, shift)| y + shift)
        .collect();
    let y = device.rms_norm(&x, &weight, Some(&bias), eps as f32);
    tested.expect("rms_norm with bias", y, &[rows, width], &shifted);
    let short = parameter(&[1.0, 2.0]);
    tested.refuse("weight", device.rms_norm(&x, &short, None, 1e-6));
    tested.refuse(
        "bias of rms_norm",
        device.rms_norm(&x, &weight, Some(&short), 1e-6),
    );
    tested.refuse("bias", device.layer_norm(&x, &weight, &short, 1e-6));
}

pub fn rows_are_joined_and_cut_apart<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let (top, bottom) = (values(2 * tile * 3, 17), values(tile * 3, 18));
    let a = tested.upload(&top, &[2 * tile, 3]);
    let b = tested.upload(&bottom, &[tile, 3]);
    let joined = device.concat_rows(&[&a, &b]);
    tested.expect(
        "joined",
        joined,
        &[3 * tile, 3],
        &wide(&[&top[..], &bottom].concat()),
    );
    let cut = device.slice_rows(&a, tile..2 * tile);
    tested.expect("cut", cut, &[tile, 3], &wide(&top[tile * 3..]));
    let narrow = tested.upload(&bottom[..tile], &[tile, 1]);
    tested.refuse("widths", device.concat_rows(&[&a, &narrow]));
    tested.refuse("nothing", device.concat_rows(&[]));
    tested.refuse("beyond the end", device.slice_rows(&a, tile..3 * tile));
}

pub fn sums_and_euler_updates_go_value_by_value<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let x = tested.upload(&[1.0, 2.0], &[1, 2]);
    let y = tested.upload(&[10.0, -20.0], &[1, 2]);
    tested.expect("add", device.add(&x, &y), &[1, 2], &[11.0, -18.0]);
    tested.expect(
        "euler_update",
        device.euler_update(&x, &y, -0.1),
        &[1, 2],
        &[0.0, 4.0],
    );
    let tall = values(3 * tile * 2, 19);
    let row = values(tile * 2, 20);
    let sums: Vec<f64> = tall
        .chunks(row.len())
        .flat_map(|rows| rows.iter().zip(&row).map(|(x, y)| f64::from(*x) + f64::from(*y)))
        .collect();
    let repeated = device.add(
        &tested.upload(&tall, &[3 * tile, 2]),
        &tested.upload(&row, &[tile, 2]),
    );
    tested.expect("repeated", repeated, &[3 * tile, 2], &sums);
    let column = tested.upload(&[0.0, 0.0], &[2, 1]);
    tested.refuse("add", device.add(&x, &column));
    tested.refuse("euler_update", device.euler_update(&x, &column, 0.1));
}

pub fn steps_too_small_for_bfloat16_add_up<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let mut point = device.zeros_f32(&[1, 2]).unwrap();
    tested.expect("zeros", Ok(point.clone()), &[1, 2], &[0.0, 0.0]);
    device.write(&mut point, &[1.0, -1.0]).unwrap();
    let velocity = tested.upload(&[1.0, -1.0], &[1, 2]);
    let mut moved = point.clone();
    // Half of bfloat16's last place at 1: added in bfloat16 it is lost, or becomes a whole.
    for _ in 0..64 {
        moved = device.euler_update(&moved, &velocity, 1.0 / 256.0).unwrap();
    }
    device.copy(&moved, &mut point).unwrap();
    tested.expect("sums", Ok(point.clone()), &[1, 2], &[1.25, -1.25]);
    let weight = HostTensor::from_f32(&[1.0, 1.0, 1.0, -1.0], &[2, 2]);
    let layer = device.upload_linear(&[weight], &[]).unwrap();
    let product = device.linear(&point, &layer, Activation::None);
    tested.expect("product", product, &[1, 2], &[0.0, 2.5]);
    let wide = tested.upload(&[0.0; 3], &[1, 3]);
    tested.refuse("shapes", device.copy(&wide, &mut point));
    tested.refuse("shapes", device.euler_update(&point, &wide, 1.0));
}

pub fn products_go_value_by_value_and_stay_in_f32<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let for_sums = |values: &[f32]| {
        let mut place = device.zeros_f32(&[values.len() / 3, 3]).unwrap();
        device.write(&mut place, values).unwrap();
        place
    };
    let (x, y) = (values(33 * 3, 22), values(33 * 3, 23));
    let products: Vec<f64> = x
        .iter()
        .zip(&y)
        .map(|(x, y)| f64::from(*x) * f64::from(*y))
        .collect();
    let product = device.multiply(&for_sums(&x), &for_sums(&y));
    tested.expect("multiply", product, &[33, 3], &products);
    // Steps that bfloat16 would lose beside 1.
    let small = device
        .multiply(&for_sums(&[1.0 / 1024.0; 3]), &for_sums(&[1.0; 3]))
        .unwrap();
    let mut sum = for_sums(&[1.0; 3]);
    for _ in 0..64 {
        sum = device.euler_update(&sum, &small, 1.0).unwrap();
    }
    tested.expect("sums", Ok(sum), &[1, 3], &[1.0625; 3]);
    let other = for_sums(&[0.0; 3]);
    tested.refuse("multiply", device.multiply(&for_sums(&x), &other));
}

pub fn values_are_selected_by_a_mask_and_stay_as_they_are<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let for_sums = |values: &[f32]| {
        let mut place = device.zeros_f32(&[values.len() / 3, 3]).unwrap();
        device.write(&mut place, values).unwrap();
        place
    };
    // None of the first is a bfloat16.
    let x: Vec<f32> = values(33 * 3, 21).iter().map(|x| x + 1.0 / 1024.0).collect();
    let y: Vec<f32> = (0..x.len()).map(|index| index as f32 - 50.0).collect();
    let mut masked = vec![0.0; x.len()];
    masked[..7 * 3].fill(1.0);
    let expected: Vec<f32> = [&x[..7 * 3], &y[7 * 3..]].concat();
    let mask = for_sums(&masked);
    let selected = device
        .select(&mask, &for_sums(&x), &tested.upload(&y, &[33, 3]))
        .unwrap();
    assert_eq!(device.shape(&selected), [33, 3]);
    let ours = device.read_back(&selected).unwrap();
    assert!(ours == expected || !tested.computes, "{ours:?}");
    let moved = device.euler_update(&for_sums(&vec![0.0; x.len()]), &selected, 1.0);
    tested.expect("moved", moved, &[33, 3], &wide(&expected));
    // The mask as data of any other tensor, and rows that are the same for all.
    let mut rows = device.zeros(&[33, 3]).unwrap();
    device.write(&mut rows, &masked).unwrap();
    let row = |values: &[f32]| {
        device
            .upload_parameter(&HostTensor::from_f32(values, &[values.len()]))
            .unwrap()
    };
    let (masked_row, other_row) = ([1.0, -2.0, 0.5], [-3.0, 0.0, 8.0]);
    let by_row = |masked_row: &[f32], other_row: &[f32]| -> Vec<f64> {
        let expected = (0..33).map(|index| if index < 7 { masked_row } else { other_row });
        wide(&expected.collect::<Vec<_>>().concat())
    };
    tested.expect(
        "rows of one each",
        device.select(&rows, &row(&masked_row), &row(&other_row)),
        &[33, 3],
        &by_row(&masked_row, &other_row),
    );
    let zeros = device.zeros(&[33, 3]).unwrap();
    tested.expect(
        "a row, and rows",
        device.select(&rows, &row(&masked_row), &zeros),
        &[33, 3],
        &by_row(&masked_row, &[0.0; 3]),
    );
    tested.refuse("a shorter row", device.select(&rows, &row(&[1.0]), &zeros));
    let other = tested.upload(&[0.0; 3], &[1, 3]);
    tested.refuse("x", device.select(&mask, &other, &mask));
    tested.refuse("y", device.select(&mask, &mask, &other));
    tested.refuse("mask", device.select(&other, &mask, &mask));
}
