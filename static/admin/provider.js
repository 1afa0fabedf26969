// Choosing a vendor fills in what is known of it: the protocol it speaks and its address.
document.addEventListener("DOMContentLoaded", () => {
  const vendor = document.querySelector("[data-vendors]");
  if (!vendor) return;
  const vendors = JSON.parse(vendor.dataset.vendors);
  const protocol = document.getElementById("id_protocol");
  const address = document.getElementById("id_base_url");
  const known = Object.values(vendors).map((one) => one.base_url).filter(Boolean);

  const fill = () => {
    const { protocols, base_url } = vendors[vendor.value];
    for (const option of protocol.options) option.hidden = option.disabled = !protocols.includes(option.value);
    if (!protocols.includes(protocol.value)) protocol.value = protocols[0];
    if (address.value === "" || known.includes(address.value)) address.value = base_url;
  };
  vendor.addEventListener("change", fill);
  fill();
});
